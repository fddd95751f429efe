/**
 * `npm run bench:servable`: which cells of the full grid are missable. A cell is missable when its machines could not serve
 * all requests on time, even if every rung were always right, requests could be split and everything were known
 * beforehand. Misses there are no policy's fault, so the report counts its aims on misses in the other cells only.
 * Results are kept in .dystri/bench/servable.json; what is there of the same code is not solved again.
 *
 *     npm run bench:servable                     the 80 cells of the grid, without the axes
 *     … --cells mmpp2-8u                         only cells whose name has this
 *     … --seeds 3  --threads 1                   one seed and as many threads as there are cores without them
 */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { addServed, readServable, servableOf, shareText, type Served } from "./servable/results.ts";
import type { ServableTask } from "./servable/solve.ts";
import { fingerprint, fullGrid, type CellPlan } from "./sim/grid.ts";
import { Progress } from "./sim/progress.ts";
import { table } from "./simulator/table.ts";

const ROOT = path.join(import.meta.dirname, "..");
const FILE = path.join(ROOT, ".dystri", "bench", "servable.json");

/** A mistake of whoever called. */
class UsageError extends Error {}

type Options = { cells: string; seeds: number; threads: number };
type Task = ServableTask & { plan: CellPlan };

try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`bench:servable: ${error.message}`);
  process.exitCode = 2;
}

async function main(options: Options): Promise<void> {
  const grid = fullGrid([]).cells.filter(({ variation }) => variation.name === "");
  const cells = grid.filter(({ key }) => key.includes(options.cells));
  if (cells.length === 0) {
    throw new UsageError(
      `no cell has ${options.cells} in its name; there are ${grid.map(({ key }) => key).join(", ")}`,
    );
  }
  const code = fingerprint(ROOT);
  const known = readServable(FILE, code).cells;
  const tasks = cells.flatMap((plan) =>
    Array.from({ length: options.seeds }, (_, i): Task => ({ plan, seed: i + 1 })).filter(
      ({ seed }) => !known[plan.key]?.[seed],
    ),
  );
  const progress = new Progress(tasks.length);
  await solveAll(tasks, options.threads, ({ plan, seed }, result) => {
    addServed(FILE, code, plan.key, seed, result);
    progress.step(`${plan.key} seed ${seed}`);
  });
  progress.end();
  printCells(cells, code);
}

/** First ones first, each on a thread that is free; rejects with a thread's error. */
async function solveAll(
  tasks: readonly Task[],
  threads: number,
  done: (task: Task, result: Served) => void,
): Promise<void> {
  const waiting = [...tasks];
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL("servable/worker.ts", import.meta.url));
    try {
      for (let task = waiting.shift(); task; task = waiting.shift()) {
        worker.postMessage(task);
        const [result] = (await once(worker, "message")) as [Served];
        done(task, result);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(threads, tasks.length) }, work));
}

function printCells(cells: readonly CellPlan[], code: string): void {
  const file = readServable(FILE, code);
  const found = cells.flatMap(({ key }) => {
    const servable = servableOf(file, key);
    return servable ? [{ key, servable, seeds: Object.values(file.cells[key] ?? {}) }] : [];
  });
  const rows = found.map(({ key, servable, seeds }) => [
    key,
    `${seeds.length}`,
    shareText(servable),
    servable.missable ? "yes" : "no",
    (seeds.reduce((sum, { seconds }) => sum + seconds, 0) / seeds.length).toFixed(1),
    // What a solver stopped early says is a bound still, but a loose one.
    seeds.every(({ status }) => status === "optimal") ? "" : "not optimal",
  ]);
  const missable = found.filter(({ servable }) => servable.missable).length;
  console.log(table(["cell", "seeds", "servable %", "missable", "s each", ""], rows));
  console.log(`\n${missable} of ${found.length} cells are missable; results: ${path.relative(ROOT, FILE)}`);
}

function readOptions(args: string[]): Options {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        cells: { type: "string", default: "" },
        seeds: { type: "string", default: "1" },
        threads: { type: "string", default: `${availableParallelism()}` },
      },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return {
    cells: values.cells,
    seeds: count("--seeds", values.seeds),
    threads: count("--threads", values.threads),
  };
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new UsageError(`${name} needs a whole number from 1 on, not ${text}`);
  return value;
}
