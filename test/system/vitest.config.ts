import { defineConfig } from "vitest/config";

/** The whole system: workerd with every Worker, real models, real agents over loopback. One cluster at a time. */
export default defineConfig({
  test: {
    name: "system",
    environment: "node",
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 180_000,
  },
});
