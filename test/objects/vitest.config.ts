import path from "node:path";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** The Durable Objects in workerd, all classes in one Worker, on the clock that moves only with I/O. */
export default defineConfig({
  plugins: [cloudflareTest({ wrangler: { configPath: path.join(import.meta.dirname, "wrangler.toml") } })],
  resolve: {
    alias: [
      { find: /^.*\/generated\/catalogue\.ts$/, replacement: path.join(import.meta.dirname, "../api/catalogue.ts") },
    ],
  },
  test: {
    name: "objects",
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    setupFiles: ["setup.ts"],
    silent: "passed-only",
  },
});
