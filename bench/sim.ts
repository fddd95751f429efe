/**
 * `npm run bench:sim`: every policy on the grid, in the simulator. See bench/README.md for what is printed and kept.
 *
 *     npm run bench:sim -- --quick          12 cells in minutes; --json prints one object and nothing else
 *     npm run bench:sim                     the full grid and its axes; may be broken off and gone on with
 *     … --trace FILE                        a day of the Azure Functions 2019 trace instead: its --functions (16) most called
 *                                           ones, or --choose random ones; --speed-up (60) times as fast
 *     … --policies dystri,gie+drop          only these          --cells mmpp2-8u    only cells whose name has this
 *     … --seeds 3  --threads 1  --split validation
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";
import { cellsWith, readValues, runCommand, UsageError, wholeNumber } from "./command-line/options.ts";
import { policyNamed, type Parameters } from "./policies/registry.ts";
import {
  fingerprint,
  fullGrid,
  quickGrid,
  rowsOf,
  tasksOf,
  traceGrid,
  type CellPlan,
  type Grid,
  type Row,
} from "./sim/grid.ts";
import { runTasks } from "./sim/pool.ts";
import { Progress } from "./sim/progress.ts";
import { Results, rowsOfCell, type CellRow } from "./sim/results.ts";
import { describeSetting } from "./sim/setting.ts";
import { SPLITS, type SplitName } from "./lib/replay.ts";
import { readAzureTrace, TraceError, type Choice } from "./simulator/azure.ts";
import { Random } from "./simulator/random.ts";
import { table } from "./simulator/table.ts";

const ROOT = path.join(import.meta.dirname, "..");
const FOLDER = path.join(ROOT, ".dystri", "bench", "sim");

type Options = {
  quick: boolean;
  json: boolean;
  policies: string[] | null;
  cells: string;
  seeds: number | null;
  threads: number | undefined;
  split: SplitName;
  trace: { file: string; functions: number; choose: Choice; speedUp: number } | null;
};

await runCommand("bench:sim", (args) => main(readOptions(args)));

async function main(options: Options): Promise<void> {
  const rows = rowsOf(options.policies, tuned());
  const grid = options.trace ? await tracedGrid(options.trace, rows) : options.quick ? quickGrid(rows) : fullGrid(rows);
  const cells = cellsWith(grid.cells, options.cells).map((plan): CellPlan => ({
    ...plan,
    seeds: options.seeds ?? plan.seeds,
  }));
  const partial = options.policies === null ? "" : `-${options.policies.join("+")}`;
  const folder = path.join(FOLDER, `${grid.name}${partial}${options.split === "test" ? "" : `-${options.split}`}`);
  const results = new Results(folder, fingerprint(ROOT));
  const missing = cells.flatMap((plan) => {
    const seeds = new Set(results.read(plan).seeds.map(({ seed }) => seed));
    return tasksOf(plan).flatMap((task) => (seeds.has(task.seed) ? [] : [{ plan, task }]));
  });
  // What takes longest first, so that no thread is left alone with it at the end.
  missing.sort((a, b) => b.task.bounds.length - a.task.bounds.length || b.task.cell.load - a.task.cell.load);
  if (!options.json) console.log(describeSetting());
  const progress = new Progress(missing.length);
  await runTasks(
    missing.map(({ task }) => task),
    options.split,
    (index, result) => {
      const one = missing[index];
      if (one) results.add(one.plan, result);
      progress.step(one ? `${one.plan.key} seed ${one.task.seed}` : "");
    },
    options.threads,
  );
  progress.end();
  const files = cells.map((plan) => results.read(plan));
  const found = files.flatMap(rowsOfCell);
  if (options.json) console.log(JSON.stringify({ cells: found }));
  else {
    for (const file of files) {
      const [arrivals] = file.seeds.map((seed) => seed.arrivals);
      const { workload, users, load, deadlineMs } = file.cell;
      console.log(
        `\n${file.variation ? `${file.variation}: ` : ""}${workload}, ${users} users, ${load}×, ${deadlineMs} ms: ` +
          `${arrivals?.perS.toFixed(0)} requests/s, CV ${arrivals?.cv.toFixed(2)}, IDC(1 s) ${arrivals?.idc.toFixed(1)}, ` +
          `peak/mean ${arrivals?.peak.toFixed(2)} (seed 1)`,
      );
      console.log(tableOf(rowsOfCell(file)));
    }
    console.log(`\nresults: ${path.relative(ROOT, folder)}`);
  }
  const isWhole = grid.name === "full" && partial === "" && options.split === "test" && options.cells === "";
  if (isWhole) for (const command of ["servable", "gap"]) solveCells(command, options);
}

/** Minutes of work, so that the report needs no third command. Tables go where progress goes. */
function solveCells(command: string, { threads }: Options): void {
  const script = path.join(ROOT, "bench", `${command}.ts`);
  const args = threads === undefined ? [] : ["--threads", `${threads}`];
  const { status, error } = spawnSync(process.execPath, [script, ...args], { stdio: ["ignore", 2, 2] });
  if (error) throw error;
  if (status !== 0) process.exitCode = status ?? 1;
}

/** Named after the file and what is in it. */
async function tracedGrid(
  { file, functions, choose, speedUp }: NonNullable<Options["trace"]>,
  rows: Row[],
): Promise<Grid> {
  let chosen;
  try {
    chosen = await readAzureTrace(file, functions, choose, new Random(1, "trace functions"));
  } catch (error) {
    if (error instanceof TraceError || (error as NodeJS.ErrnoException).code !== undefined) {
      throw new UsageError((error as Error).message);
    }
    throw error;
  }
  if (chosen.length === 0) throw new UsageError(`${file} has no function that was called`);
  const trace = { perMinute: chosen.map(({ perMinute }) => perMinute), speedUp };
  const hash = createHash("sha256").update(JSON.stringify(trace)).digest("hex").slice(0, 8);
  return traceGrid(rows, `${path.parse(file).name} ${hash}`, trace);
}

/** Best first; a late answer counts as none. */
function tableOf(rows: readonly CellRow[]): string {
  const percent = (share: number | null): string => (share === null ? "" : (100 * share).toFixed(2));
  return table(
    [
      "policy",
      "effective accuracy %",
      "missed %",
      "late",
      "dropped",
      "rejected",
      "error",
      "on-time accuracy %",
      "p50 ms",
      "p99 ms",
      "worst decile missed %",
      "of bound %",
      "of information %",
    ],
    [...rows]
      .sort((a, b) => b.effectiveAccuracy - a.effectiveAccuracy)
      .map((row) => [
        row.policy,
        percent(row.effectiveAccuracy),
        percent(row.missRate),
        `${row.late}`,
        `${row.dropped}`,
        `${row.rejected}`,
        `${row.error}`,
        percent(row.onTimeAccuracy),
        row.p50Ms.toFixed(0),
        row.p99Ms.toFixed(0),
        percent(row.worstDecileMissRate),
        percent(row.boundShare),
        percent(row.infoShare),
      ]),
  );
}

function tuned(): Record<string, Parameters> {
  return JSON.parse(readFileSync(path.join(import.meta.dirname, "policies", "tuned.json"), "utf8")) as Record<
    string,
    Parameters
  >;
}

function readOptions(args: string[]): Options {
  const values = readValues(args, {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    policies: { type: "string" },
    cells: { type: "string", default: "" },
    seeds: { type: "string" },
    threads: { type: "string" },
    split: { type: "string", default: "test" },
    trace: { type: "string" },
    functions: { type: "string", default: "16" },
    choose: { type: "string", default: "top" },
    "speed-up": { type: "string", default: "60" },
  });
  const split = SPLITS.find((name) => name === values.split);
  if (!split) throw new UsageError(`--split is ${SPLITS.join(" or ")}, not ${values.split}`);
  const choose = (["top", "random"] as const).find((name) => name === values.choose);
  if (!choose) throw new UsageError(`--choose is top or random, not ${values.choose}`);
  const speedUp = Number(values["speed-up"]);
  if (!(speedUp > 0 && speedUp < Infinity)) {
    throw new UsageError(`--speed-up needs a number above 0, not ${values["speed-up"]}`);
  }
  const functions = wholeNumber("--functions", values.functions);
  const names = values.policies?.split(",") ?? null;
  for (const name of names ?? []) {
    try {
      policyNamed(name);
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  }
  return {
    quick: values.quick,
    json: values.json,
    policies: names,
    cells: values.cells,
    seeds: values.seeds === undefined ? null : wholeNumber("--seeds", values.seeds),
    threads: values.threads === undefined ? undefined : wholeNumber("--threads", values.threads),
    split,
    trace: values.trace === undefined ? null : { file: values.trace, functions, choose, speedUp },
  };
}
