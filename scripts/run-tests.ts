/**
 * What `npm test` runs once packages are there: every vitest project of test/. The generated imports and the Workers'
 * bundles are made first, once, so that system tests running side by side find them ready.
 */
import { spawn } from "node:child_process";
import path from "node:path";
import { build } from "./build.ts";
import { ROOT } from "./workers.ts";

try {
  await build(undefined, (count) => console.log(`Bundling ${count} Workers …`));
} catch (error) {
  // Tests that need no bundle still tell something; those that do will fail with the same words.
  console.error(error instanceof Error ? error.message : error);
}
const vitest = path.join(ROOT, "node_modules/vitest/vitest.mjs");
const child = spawn(process.execPath, [vitest, "run", ...process.argv.slice(2)], {
  cwd: ROOT,
  stdio: "inherit",
  env: { ...process.env, CLOUDFLARE_CF_FETCH_ENABLED: "false", WRANGLER_SEND_METRICS: "false" },
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? (signal ? 130 : 1)));
