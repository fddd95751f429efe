import path from "node:path";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** The API Worker in workerd with its real codecs and objects. */
export default defineConfig({
  plugins: [cloudflareTest({ wrangler: { configPath: path.join(import.meta.dirname, "wrangler.toml") } })],
  resolve: {
    alias: [{ find: /^.*\/generated\/catalogue\.ts$/, replacement: path.join(import.meta.dirname, "catalogue.ts") }],
  },
  test: {
    name: "api",
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    setupFiles: ["setup.ts"],
    isolate: false,
    maxWorkers: 1,
  },
});
