import { defineConfig } from "vitest/config";

/** Jobs that meet in one inference isolate, on plain workerd: a caller Worker and an inference Worker, fixture models. */
export default defineConfig({
  test: {
    name: "edge",
    environment: "node",
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
