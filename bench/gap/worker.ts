/** A thread that takes cells apart one after another: a task in, its result out. */
import { parentPort } from "node:worker_threads";
import { Solver } from "../bounds/solver.ts";
import type { CellTask } from "../kept/solve-cells.ts";
import { loadService } from "../sim/setting.ts";
import type { Gap } from "./results.ts";
import { expectationsOf, solveGap } from "./solve.ts";

const port = parentPort;
if (!port) throw new Error("this file is a worker thread's");
const bench = {
  service: await loadService("test"),
  training: await loadService("validation"),
  solver: await Solver.load(),
};
const expectation = expectationsOf(bench);
port.on("message", (task: CellTask) => {
  port.postMessage(solveGap(bench, expectation, task) satisfies Gap);
});
