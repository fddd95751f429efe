/** `npm run bench:memory`: the wasm memory of every inference Worker with all its edge stages loaded. Exit code 1 past the budget. */
import { withCluster } from "./lib/bench-cluster.ts";
import { memoryHeld } from "./lib/memory.ts";

process.exitCode = (await withCluster({ extraWorkers: ["bench/bare-worker/wrangler.toml"] }, memoryHeld)) ? 0 : 1;
