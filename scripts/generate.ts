/**
 * Writes functions/generated/ from the models folder, so that adding an application is adding a folder:
 *
 *   catalogue.ts     every application's contract, checked
 *   <platform>.ts    per platform, the contract and the ONNX files of rungs that run at the edge
 *
 * Wrangler runs it before each build. The same models always give the same bytes, and a file is written only when
 * they change. A mistake in a model's folder ends it with status 1 and one line that names the file and the field.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Application } from "../protocol/application.ts";
import { parseApplication } from "../runtime/application.ts";

const ROOT = join(import.meta.dirname, "..");
const NOTICE = "// Written by scripts/generate.ts from models/. Do not edit.\n";

class GenerateError extends Error {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The application of one folder, its file names checked against what is there. */
function readApplication(models: string, folder: string): Application {
  const path = join(models, folder, "app.json");
  const shown = `models/${folder}/app.json`;
  let application: Application;
  try {
    application = parseApplication(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new GenerateError(`${shown}: ${messageOf(error)}`);
  }
  if (application.name !== folder) {
    throw new GenerateError(`${shown}: name is "${application.name}"; expected "${folder}", the name of its folder`);
  }
  application.rungs.forEach(({ stage }, rung) => {
    if (!existsSync(join(models, folder, stage))) {
      throw new GenerateError(`${shown}: rungs[${rung}].stage is "${stage}", which is not in models/${folder}`);
    }
  });
  return application;
}

/** All applications, by name. */
function readApplications(models: string): Application[] {
  if (!existsSync(models)) return [];
  return readdirSync(models, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(models, entry.name, "app.json")))
    .map((entry) => entry.name)
    .sort()
    .map((folder) => readApplication(models, folder));
}

/** Platforms that have a Worker, and those that applications name: each gets a file, be it an empty bundle. */
function platformsOf(applications: readonly Application[], workers: string): string[] {
  const deployed = readdirSync(workers)
    .filter((file) => file.endsWith(".toml"))
    .map((file) => basename(file, ".toml"));
  const missing = applications.find(({ platform }) => !deployed.includes(platform));
  if (missing) {
    throw new GenerateError(
      `models/${missing.name}/app.json: platform is "${missing.platform}", but there is no functions/inference/${missing.platform}.toml`,
    );
  }
  return deployed.sort();
}

function catalogueText(applications: readonly Application[]): string {
  return `${NOTICE}import type { Application } from "../../protocol/application.ts";

export const applications: readonly Application[] = ${JSON.stringify(applications, null, 2)};
`;
}

function bundleText(platform: string, applications: readonly Application[]): string {
  const imports: string[] = [];
  const entries = applications.map((application, a) => {
    const stages = application.rungs.map(({ stage, tiers }, r) => {
      if (!tiers.includes("edge")) return "null";
      imports.push(`import stage${a}x${r} from "../../models/${application.name}/${stage}";\n`);
      return `stage${a}x${r}`;
    });
    return `    { application: application("${application.name}"), stages: [${stages.join(", ")}] },\n`;
  });
  const lookup = `function application(name: string): Application {
  const found = applications.find((entry) => entry.name === name);
  if (!found) throw new Error(\`the catalogue has no \${name}\`);
  return found;
}
`;
  return `${NOTICE}${entries.length > 0 ? `import type { Application } from "../../protocol/application.ts";\n` : ""}import type { PlatformBundle } from "../inference/bundle.ts";
${entries.length > 0 ? `import { applications } from "./catalogue.ts";\n` : ""}${imports.join("")}
${entries.length > 0 ? `${lookup}\n` : ""}export const bundle: PlatformBundle = {
  platform: "${platform}",
  applications: [${entries.length > 0 ? `\n${entries.join("")}  ` : ""}],
};
`;
}

/** Several builds may run at once: whoever reads sees the old file or the new one, never a part. */
function writeIfChanged(path: string, text: string): boolean {
  if (existsSync(path) && readFileSync(path, "utf8") === text) return false;
  const partial = `${path}.${process.pid}.partial`;
  writeFileSync(partial, text);
  renameSync(partial, path);
  return true;
}

/** Brings `<root>/functions/generated` up to date; returns the names of the files that changed. Throws GenerateError. */
export function generate(root: string): string[] {
  const applications = readApplications(join(root, "models"));
  const files = new Map([["catalogue.ts", catalogueText(applications)]]);
  for (const platform of platformsOf(applications, join(root, "functions/inference"))) {
    const own = applications.filter((application) => application.platform === platform);
    files.set(`${platform}.ts`, bundleText(platform, own));
  }
  const target = join(root, "functions/generated");
  mkdirSync(target, { recursive: true });
  for (const file of readdirSync(target)) {
    if (file.endsWith(".ts") && !files.has(file)) rmSync(join(target, file), { force: true });
  }
  return [...files].filter(([file, text]) => writeIfChanged(join(target, file), text)).map(([file]) => file);
}

if (import.meta.main) {
  try {
    const changed = generate(ROOT);
    if (changed.length > 0) console.log(`generated ${changed.map((file) => `functions/generated/${file}`).join(", ")}`);
  } catch (error) {
    if (!(error instanceof GenerateError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
