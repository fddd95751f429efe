/**
 * Writes functions/generated/ from the models folder, so that adding an application is adding a folder:
 *
 *   catalogue.ts     every application's contract, checked
 *   <platform>.ts    per platform, the contract and the ONNX files of rungs that run at the edge
 *
 * Wrangler runs it before each build. The same models always give the same bytes, and a file is written only when
 * they change. Mistakes in models' folders end it with status 1 and a line for each that names the file and the field.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Application } from "../protocol/application.ts";
import { ApplicationError, parseApplication } from "../nodes/parse-application.ts";

const ROOT = join(import.meta.dirname, "..");
const NOTICE = "// Written by scripts/generate.ts from models/. Do not edit.\n";

/** What is wrong with the models folder: a line per fault. */
export class GenerateError extends Error {
  constructor(faults: readonly string[]) {
    super(faults.join("\n"));
  }
}

type Read = { application: Application } | { faults: string[] };

/** The application of one folder, or what is wrong with it: in app.json, and between that and the folder. */
function readApplication(models: string, folder: string): Read {
  const shown = `models/${folder}/app.json`;
  let application: Application;
  try {
    application = parseApplication(JSON.parse(readFileSync(join(models, folder, "app.json"), "utf8")));
  } catch (error) {
    if (!(error instanceof ApplicationError || error instanceof SyntaxError)) throw error;
    return { faults: error.message.split("\n").map((line) => `${shown}: ${line}`) };
  }
  const { name, rungs } = application;
  const faults = rungs.flatMap(({ stage }, rung) =>
    existsSync(join(models, folder, stage))
      ? []
      : [`${shown}: rungs[${rung}].stage is "${stage}"; expected the name of a file in models/${folder}`],
  );
  if (name !== folder) faults.push(`${shown}: name is "${name}"; expected "${folder}", the name of its folder`);
  return faults.length > 0 ? { faults } : { application };
}

/** All applications, by name. Throws GenerateError with the faults of all of them. */
export function readApplications(models: string): Application[] {
  if (!existsSync(models)) return [];
  const read = readdirSync(models, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(models, entry.name, "app.json")))
    .map((entry) => entry.name)
    .sort()
    .map((folder) => readApplication(models, folder));
  const faults = read.flatMap((one) => ("faults" in one ? one.faults : []));
  if (faults.length > 0) throw new GenerateError(faults);
  return read.flatMap((one) => ("application" in one ? [one.application] : []));
}

/** Platforms that have a Worker, and those that applications name: each gets a file, be it an empty bundle. */
function platformsOf(applications: readonly Application[], workers: string): string[] {
  const deployed = readdirSync(workers)
    .filter((file) => file.endsWith(".toml"))
    .map((file) => basename(file, ".toml"));
  const faults = applications
    .filter(({ platform }) => !deployed.includes(platform))
    .map(({ name, platform }) => {
      const expected = `one of ${deployed.map((known) => `"${known}"`).join(", ")} (functions/inference/*.toml)`;
      return `models/${name}/app.json: platform is "${platform}"; expected ${expected}`;
    });
  if (faults.length > 0) throw new GenerateError(faults);
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
