/** A thread that runs tasks one after another: a task in, its result out. */
import { parentPort, workerData } from "node:worker_threads";
import { Solver } from "../bounds/solver.ts";
import type { SplitName } from "../lib/replay.ts";
import { loadSolverTimes } from "../policies/proteus.ts";
import { runSeed, type Bench, type SeedResult, type Task } from "./run-seed.ts";
import { loadService } from "./setting.ts";

/** `index` says which task the answer is to. */
export type ToWorker = { index: number; task: Task };
export type FromWorker = { index: number; result: SeedResult };
export type WorkerData = { split: SplitName };

const port = parentPort;
if (!port) throw new Error("this file is a worker thread's");
const { split } = workerData as WorkerData;
const bench: Bench = {
  service: await loadService(split),
  training: await loadService("validation"),
  solver: await Solver.load(),
  solverTimes: loadSolverTimes(),
  expectations: new Map(),
};
port.on("message", ({ index, task }: ToWorker) => {
  port.postMessage({ index, result: runSeed(bench, task) } satisfies FromWorker);
});
