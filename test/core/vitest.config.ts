import { defineConfig } from "vitest/config";

/** The pure core in plain Node: most tests, milliseconds each. */
export default defineConfig({
  test: { name: "core", environment: "node", root: import.meta.dirname, include: ["**/*.test.ts"] },
});
