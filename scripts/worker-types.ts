/**
 * `npm run types`: writes the types of every Worker's bindings from the TOMLs. With --check it only compares, and fails
 * when a committed file is out of date.
 */
import path from "node:path";
import { run, WRANGLER, WRANGLER_ENV } from "./build.ts";
import { ROOT, workerConfigs } from "./workers.ts";

const [api = "", fleet = "", ...inference] = workerConfigs();

/** A Worker that binds to others needs their TOMLs too. Every inference Worker has the same bindings: the first stands for all. */
const TARGETS = [
  { folder: "functions/api", env: "ApiEnv", configs: [api, fleet, ...inference] },
  { folder: "durable-objects", env: "FleetEnv", configs: [fleet] },
  { folder: "functions/inference", env: "InferenceEnv", configs: inference.slice(0, 1) },
];

const check = process.argv.includes("--check");
const results = await Promise.allSettled(
  TARGETS.map(({ folder, env, configs }) =>
    run(
      process.execPath,
      [
        path.relative(ROOT, WRANGLER),
        "types",
        `${folder}/worker-configuration.d.ts`,
        "--include-runtime=false",
        "--strict-vars=false",
        `--env-interface=${env}`,
        ...configs.flatMap((config) => ["-c", config]),
        ...(check ? ["--check"] : []),
      ],
      WRANGLER_ENV,
    ),
  ),
);
for (const result of results) {
  if (result.status === "fulfilled") continue;
  console.error(String(result.reason));
  process.exitCode = 1;
}
if (process.exitCode === 1 && check) console.error('If a TOML has changed, "npm run types" writes the files anew.');
