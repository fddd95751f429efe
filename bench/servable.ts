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
import { Worker } from "node:worker_threads";
import { cellsWith, readValues, runCommand, wholeNumber } from "./command-line/options.ts";
import { addServed, readServable, servableOf, shareText, type Served } from "./servable/results.ts";
import type { ServableTask } from "./servable/solve.ts";
import { fingerprint, fullGrid, type CellPlan } from "./sim/grid.ts";
import { Progress } from "./sim/progress.ts";
import { table } from "./simulator/table.ts";

const ROOT = path.join(import.meta.dirname, "..");
const FILE = path.join(ROOT, ".dystri", "bench", "servable.json");

type Options = { cells: string; seeds: number; threads: number };
type Task = ServableTask & { plan: CellPlan };

await runCommand("bench:servable", (args) => main(readOptions(args)));

async function main(options: Options): Promise<void> {
  const grid = fullGrid([]).cells.filter(({ variation }) => variation.name === "");
  const cells = cellsWith(grid, options.cells);
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
  const values = readValues(args, {
    cells: { type: "string", default: "" },
    seeds: { type: "string", default: "1" },
    threads: { type: "string", default: `${availableParallelism()}` },
  });
  return {
    cells: values.cells,
    seeds: wholeNumber("--seeds", values.seeds),
    threads: wholeNumber("--threads", values.threads),
  };
}
