import { defineConfig } from "vitest/config";

/** The node agent's own parts in Node: real models in the real compute thread, a real socket on loopback. */
export default defineConfig({
  test: {
    name: "nodes",
    environment: "node",
    root: import.meta.dirname,
    include: ["**/*.test.ts"],
    silent: "passed-only",
  },
});
