/**
 * `npm run bench:tune`: the same number of trials for every baseline that has parameters, on training requests: inputs of
 * the validation split and seeds that no report uses. The first trial is the parameters as published or as first taken;
 * the others are drawn at random from bench/policies/registry.ts. The best by mean effective accuracy over the training
 * cells, one set for all cells, goes to bench/policies/tuned.json where it is not the first. Dystri and its ablations have
 * none: what control/ fixes stays fixed.
 */
import { writeFileSync } from "node:fs";
import { policies, type Parameters, type PolicySpec } from "../policies/registry.ts";
import { Random } from "../simulator/random.ts";
import { table } from "../simulator/table.ts";
import { headline } from "./figures.ts";
import { runTasks } from "./pool.ts";
import { Progress } from "./progress.ts";
import type { SeedResult, Task } from "./run-seed.ts";
import { WARM_UP_MS, type Cell } from "./setting.ts";

const TRIALS = 8;
const REQUESTS = 1500;
const SEEDS = [101, 102];
const CELLS: Cell[] = [
  { workload: "poisson", users: 16, load: 0.5, deadlineMs: 100 },
  { workload: "poisson", users: 16, load: 2.5, deadlineMs: 100 },
  { workload: "mmpp2", users: 16, load: 1, deadlineMs: 75 },
  { workload: "mmpp2", users: 16, load: 2.5, deadlineMs: 150 },
];

const tunable = policies().filter(({ space }) => Object.keys(space).length > 0);
const trials = new Map(tunable.map((spec) => [spec.name, drawn(spec)]));
const tasks = Array.from({ length: TRIALS }, (_, trial) =>
  CELLS.flatMap((cell) =>
    SEEDS.map((seed): { trial: number; task: Task } => ({ trial, task: taskOf(trial, cell, seed) })),
  ),
).flat();
const scores = new Map(tunable.map(({ name }) => [name, new Array<number>(TRIALS).fill(0)]));
const progress = new Progress(tasks.length);
await runTasks(
  tasks.map(({ task }) => task),
  "validation",
  (index, result) => {
    count(tasks[index]?.trial ?? 0, result);
    progress.step("");
  },
);
progress.end();

const tuned: Record<string, Parameters> = {};
const rows = tunable.map(({ name }) => {
  const own = (scores.get(name) ?? []).map((sum) => sum / (CELLS.length * SEEDS.length));
  const best = own.indexOf(Math.max(...own));
  const parameters = trials.get(name)?.[best] ?? {};
  if (best > 0) tuned[name] = parameters;
  return [name, percent(own[0]), percent(own[best]), JSON.stringify(parameters)];
});
writeFileSync(new URL("../policies/tuned.json", import.meta.url), `${JSON.stringify(tuned, null, 2)}\n`);
console.log(table(["policy", "default %", "best %", "changed"], rows));
console.log(`${TRIALS} trials each; written: bench/policies/tuned.json`);

function taskOf(trial: number, cell: Cell, seed: number): Task {
  return {
    cell,
    variation: { name: "" },
    seed,
    requests: REQUESTS,
    warmUpMs: WARM_UP_MS,
    policies: tunable.map(({ name }) => ({ name, of: name, parameters: trials.get(name)?.[trial] ?? {} })),
    bounds: [],
    boundRequests: 0,
  };
}

function count(trial: number, { policies: figures }: SeedResult): void {
  for (const [name, one] of Object.entries(figures)) {
    const own = scores.get(name);
    if (own) own[trial] = (own[trial] ?? 0) + headline([one]).effectiveAccuracy;
  }
}

/** What differs from the defaults, per trial; the first trial is the defaults themselves. */
function drawn({ name, space }: PolicySpec): Parameters[] {
  const random = new Random(1, `tuning ${name}`);
  return Array.from({ length: TRIALS }, (_, trial) => {
    if (trial === 0) return {};
    const entries = Object.entries(space).map(([key, values]) => [key, values[random.below(values.length)]] as const);
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as Parameters;
  });
}

function percent(share: number | undefined): string {
  return (100 * (share ?? 0)).toFixed(2);
}
