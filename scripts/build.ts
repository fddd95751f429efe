/**
 * Bundles the Workers exactly as a deploy would (`wrangler deploy --dry-run`) and keeps the bundles in build/, each
 * under a hash of everything that goes into it. An unchanged tree costs one pass of hashing, some 50 ms.
 *
 * A bundle's folder appears by rename, complete or not at all, so that two builds at once are only wasteful.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { globSync, statSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { stripVTControlCharacters } from "node:util";
import { generate } from "./generate.ts";
import { readWorkerSpecs, ROOT, workerConfigs, type WorkerSpec } from "./workers.ts";

export type BundleModule = { file: string; type: "esModule" | "wasm" | "data" | "text" };

export type Bundle = {
  /** TOML the bundle was made from, relative to the repository. */
  config: string;
  /** Absolute folder of the modules. */
  folder: string;
  spec: WorkerSpec;
  /** The main module is the first. */
  modules: BundleModule[];
};

/** Settings that keep wrangler off the network and off the terminal. */
export const WRANGLER_ENV = {
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
  CI: "1",
  NO_COLOR: "1",
};

/** Where what a Worker's code can import lives; plus the tools that shape a bundle. */
const INPUTS = [
  "{functions,durable-objects,control,runtime,protocol}/**/*.{ts,json,toml,wasm,html,js,css}",
  "models/*/**/*.{json,onnx,png}",
  "{wrangler.toml,package-lock.json,tsconfig.base.json,scripts/generate.ts,scripts/build.ts,scripts/workers.ts}",
];

/** How many bundles of one Worker stay: another checkout state or a running server may still want the one before. */
const KEPT_BUNDLES = 3;

/** Of a failed command's output. The cause comes first, dumps of internals after it. */
const SHOWN_LINES = 60;

const MODULE_TYPES: Record<string, BundleModule["type"]> = {
  ".js": "esModule",
  ".mjs": "esModule",
  ".wasm": "wasm",
  ".onnx": "data",
  ".bin": "data",
  ".html": "text",
  ".txt": "text",
};

/** The script that runs wrangler, to be started with this process's own Node. */
export const WRANGLER = path.join(ROOT, "node_modules/wrangler/bin/wrangler.js");

/**
 * Builds what is out of date among `configs` (all Workers by default) and gives every bundle, in that order. Rejects
 * with the generator's or wrangler's words when one does not build. `onBuild` is told the number of Workers about to be bundled.
 */
export async function build(configs = workerConfigs(), onBuild?: (count: number) => void): Promise<Bundle[]> {
  generate(ROOT);
  const shared = await hashFiles(INPUTS.flatMap((pattern) => globSync(pattern, { cwd: ROOT })));
  const keys = await Promise.all(configs.map((config) => bundleKey(config, shared)));
  const found = await Promise.all(configs.map((config, i) => readBundle(config, keys[i]!)));
  const missing = configs.filter((_, i) => found[i] === null);
  if (missing.length > 0) {
    onBuild?.(missing.length);
    const specs = readWorkerSpecs(missing);
    await Promise.all(
      missing.map((config, i) => bundle(config, keys[configs.indexOf(config)]!, async () => (await specs)[i]!)),
    );
  }
  return Promise.all(
    configs.map(async (config, i) => {
      const made = found[i] ?? (await readBundle(config, keys[i]!));
      if (made === null)
        throw new Error(`${config}: the bundle vanished while building; is another build cleaning up?`);
      return made;
    }),
  );
}

/**
 * Runs a command in the repository and gives its output, standard output and error together. Rejects with the first
 * lines of both when it fails. `node` means this process's Node to the command and to all that it starts.
 */
export async function run(command: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const PATH = `${path.dirname(process.execPath)}${path.delimiter}${process.env["PATH"] ?? ""}`;
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  });
  if (code === 0) return output;
  const shown = [path.basename(command), ...args.map((arg) => path.relative(ROOT, arg) || arg)].join(" ");
  const lines = stripVTControlCharacters(output).trim().split("\n");
  const rest = lines.length > SHOWN_LINES ? `\n… and ${lines.length - SHOWN_LINES} lines more` : "";
  throw new Error(`${shown} failed (${code ?? "killed"}):\n${lines.slice(0, SHOWN_LINES).join("\n")}${rest}`);
}

function slug(config: string): string {
  return config.replace(/\.toml$/, "").replaceAll(/[^a-z0-9]+/gi, "-");
}

function bundleFolder(config: string, key: string): string {
  return path.join(ROOT, "build", slug(config), key);
}

async function hashFiles(files: string[]): Promise<string> {
  const hash = createHash("sha256");
  const sorted = [...new Set(files)].filter((file) => statSync(path.join(ROOT, file)).isFile()).sort();
  for (const file of sorted)
    hash
      .update(`${file}\0`)
      .update(await readFile(path.join(ROOT, file)))
      .update("\0");
  return hash.digest("hex");
}

async function bundleKey(config: string, shared: string): Promise<string> {
  // A Worker outside the shared folders (a bench's) brings its own folder.
  const own = await hashFiles(globSync(`${path.dirname(config)}/*.{ts,toml,json}`, { cwd: ROOT }));
  return createHash("sha256").update(`${config}\0${shared}\0${own}`).digest("hex").slice(0, 16);
}

async function readBundle(config: string, key: string): Promise<Bundle | null> {
  const folder = bundleFolder(config, key);
  try {
    const kept = JSON.parse(await readFile(path.join(folder, "bundle.json"), "utf8")) as Pick<
      Bundle,
      "spec" | "modules"
    >;
    // Marks the bundle as in use, for the clean-up below.
    await utimes(folder, new Date(), new Date());
    return { config, folder, ...kept };
  } catch {
    return null;
  }
}

async function bundle(config: string, key: string, spec: () => Promise<WorkerSpec>): Promise<void> {
  const folder = bundleFolder(config, key);
  const draft = `${folder}.${process.pid}.draft`;
  await mkdir(draft, { recursive: true });
  try {
    const args = [WRANGLER, "deploy", "--dry-run", "--outdir", draft, "-c", path.resolve(ROOT, config)];
    const [output, read] = await Promise.all([run(process.execPath, args, WRANGLER_ENV), spec()]);
    await writeFile(path.join(draft, "wrangler.log"), output);
    const modules = listModules(await readdir(draft));
    await writeFile(path.join(draft, "bundle.json"), JSON.stringify({ spec: read, modules }, null, 2));
    await rename(draft, folder).catch(async (error: NodeJS.ErrnoException) => {
      // Somebody else has built the same in the meantime.
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST" && error.code !== "EPERM") throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  await removeOldBundles(path.dirname(folder));
}

function listModules(files: string[]): BundleModule[] {
  const modules = files
    .map((file) => ({ file, type: MODULE_TYPES[path.extname(file)] }))
    .filter((module): module is BundleModule => module.type !== undefined);
  const main = modules.filter((module) => module.type === "esModule");
  if (main.length !== 1) throw new Error(`expected one JavaScript module in the bundle, found ${main.length}`);
  return [...main, ...modules.filter((module) => module.type !== "esModule")];
}

async function removeOldBundles(folder: string): Promise<void> {
  const entries = (await readdir(folder)).filter((name) => !name.endsWith(".draft"));
  const byAge = entries
    .flatMap((name) => {
      const stat = statSync(path.join(folder, name), { throwIfNoEntry: false });
      return stat ? [{ name, usedAt: stat.mtimeMs }] : [];
    })
    .sort((a, b) => b.usedAt - a.usedAt);
  for (const { name } of byAge.slice(KEPT_BUNDLES)) await rm(path.join(folder, name), { recursive: true, force: true });
}

if (import.meta.main) {
  try {
    const bundles = await build(undefined, (count) => console.log(`Bundling ${count} Workers …`));
    for (const made of bundles) console.log(`${made.spec.name}: ${path.relative(ROOT, made.folder)}`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
