import { defineConfig } from "vitest/config";

/** Every folder of test/ with a configuration is one layer of tests: npm test -- --project <name> runs one. */
export default defineConfig({ test: { projects: ["test/*/vitest.config.ts"] } });
