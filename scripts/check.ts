/**
 * `npm run check`: everything that can be said of the code without running it. Every step runs, whatever the one before
 * says; only what failed is shown in full. Exit code 1 when anything failed.
 */
import { globSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { build, run, type Bundle } from "./build.ts";
import { readApplications } from "./generate.ts";
import { ROOT } from "./workers.ts";

const MIB = 1024 * 1024;
/** As wrangler bundles it, minified. It is parsed at every cold start. */
const API_SCRIPT_BUDGET_BYTES = 168 * 1024;
/** Per platform: more weights do not fit, folded to float, in the memory of an isolate. */
const EDGE_WEIGHTS_BUDGET_BYTES = 12 * MIB;
/** The platform's limit for a Worker, all modules, uncompressed. */
const UPLOAD_BUDGET_BYTES = 64 * MIB;

type Step = { name: string; check: () => Promise<string> };

const node = process.execPath;
const bin = (file: string): string => path.join("node_modules", file);

const STEPS: Step[] = [
  { name: "models/*/app.json", check: checkApplications },
  { name: "bundles (wrangler deploy --dry-run)", check: checkBundles },
  { name: "types", check: checkTypes },
  { name: "generated types", check: () => run(node, ["scripts/worker-types.ts", "--check"]).then(() => "") },
  { name: "lint", check: () => run(node, [bin("oxlint/bin/oxlint"), "--type-aware"]).then(() => "") },
  {
    name: "format",
    check: () => run(node, [bin("prettier/bin/prettier.cjs"), "--check", "--log-level", "warn", "."]).then(() => ""),
  },
  { name: "samples, staged and whole", check: () => run(node, ["scripts/models-samples.ts"]).then(() => "") },
  { name: "wasm memory", check: async () => (await run(node, ["bench/memory.ts"])).trim().replaceAll("\n", "; ") },
  { name: "cards and pictures", check: () => run(node, ["scripts/models-readme.ts", "--check"]).then(() => "") },
];

let failed = 0;
for (const { name, check } of STEPS) {
  const startedAt = performance.now();
  const took = (): string => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  try {
    const note = await check();
    console.log(`ok     ${name} (${took()})${note && `: ${note}`}`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name} (${took()})\n${error instanceof Error ? error.message : String(error)}\n`);
  }
}
if (failed > 0) console.log(`${failed} of ${STEPS.length} checks failed.`);
process.exitCode = failed > 0 ? 1 : 0;

async function checkApplications(): Promise<string> {
  return readApplications(path.join(ROOT, "models"))
    .map(({ name, rungs }) => `${name} ${rungs.length} rungs`)
    .join(", ");
}

/** Every project: Node's, the Workers', and those of tests that run in workerd. */
async function checkTypes(): Promise<string> {
  const projects = [
    "tsconfig.json",
    "functions/tsconfig.json",
    ...globSync("{test,bench}/*/tsconfig.json", { cwd: ROOT }).sort(),
  ];
  const results = await Promise.allSettled(
    projects.map((project) => run(node, [bin("typescript/bin/tsc"), "-p", project])),
  );
  const errors = results.flatMap((result) => (result.status === "rejected" ? [String(result.reason)] : []));
  if (errors.length > 0) throw new Error(errors.join("\n"));
  return "";
}

async function checkBundles(): Promise<string> {
  const bundles = await build();
  const notes: string[] = [];
  const over: string[] = [];
  const hold = (what: string, bytes: number, budget: number): void => {
    notes.push(`${what} ${kib(bytes)}`);
    if (bytes > budget) over.push(`${what}: ${kib(bytes)} is over the budget of ${kib(budget)}`);
  };
  for (const bundle of bundles) {
    const { name } = bundle.spec;
    if (bundle.config === "wrangler.toml")
      hold(`${name} script`, await sizeOf(bundle, "esModule"), API_SCRIPT_BUDGET_BYTES);
    const weights = await sizeOf(bundle, "data");
    if (weights > 0) hold(`${name} weights`, weights, EDGE_WEIGHTS_BUDGET_BYTES);
    hold(`${name} upload`, await uploadBytes(bundle), UPLOAD_BUDGET_BYTES);
  }
  if (over.length > 0) throw new Error(over.join("\n"));
  return notes.join(", ");
}

async function sizeOf(bundle: Bundle, type: string): Promise<number> {
  const files = bundle.modules.filter((module) => module.type === type);
  const sizes = await Promise.all(files.map(async ({ file }) => (await stat(path.join(bundle.folder, file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** What wrangler itself says it would upload. */
async function uploadBytes(bundle: Bundle): Promise<number> {
  const log = await readFile(path.join(bundle.folder, "wrangler.log"), "utf8");
  const total = /Total Upload: ([\d.]+) KiB/.exec(log)?.[1];
  if (total === undefined) throw new Error(`wrangler did not say what ${bundle.spec.name} uploads:\n${log}`);
  return Number(total) * 1024;
}

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024).toLocaleString("en")} KiB`;
}
