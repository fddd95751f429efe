import path from "node:path";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** ONNX Runtime in workerd with fixture models. One Worker for all files: its 14 MB module is slow to hand over. */
export default defineConfig({
  plugins: [cloudflareTest({ wrangler: { configPath: path.join(import.meta.dirname, "wrangler.toml") } })],
  test: {
    name: "onnx",
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    setupFiles: ["setup.ts"],
    isolate: false,
    maxWorkers: 1,
    testTimeout: 20_000,
    // The first call of the Worker fetches its modules.
    hookTimeout: 60_000,
  },
});
