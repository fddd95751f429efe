/** A thread that solves cells one after another: a task in, its result out. */
import { parentPort } from "node:worker_threads";
import { Solver } from "../bounds/solver.ts";
import type { CellTask } from "../kept/solve-cells.ts";
import { loadService } from "../sim/setting.ts";
import type { Served } from "./results.ts";
import { solveServable } from "./solve.ts";

const port = parentPort;
if (!port) throw new Error("this file is a worker thread's");
const service = await loadService("test");
const solver = await Solver.load();
port.on("message", (task: CellTask) => {
  port.postMessage(solveServable(service, solver, task) satisfies Served);
});
