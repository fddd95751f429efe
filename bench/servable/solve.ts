/**
 * How many requests of a cell could be served on time at all: the clairvoyant bound (bounds/fractional.ts) with every
 * answer right, over the same requests that `npm run bench:sim` makes its bounds of. The bound rounds in favour of
 * whoever serves (windows widened to whole cells, largest batches), so a cell called missable is.
 */
import { fractionalBound } from "../bounds/fractional.ts";
import type { Solver } from "../bounds/solver.ts";
import type { CellTask } from "../kept/solve-cells.ts";
import { problemOf } from "../sim/bound-problem.ts";
import { settingOf, type Service } from "../sim/setting.ts";
import type { Offered } from "../simulator/workload.ts";
import { World } from "../simulator/world.ts";
import type { Served } from "./results.ts";

/** Finer than the bounds' own grid: each window is widened to whole cells, and what is widened hides what cannot be served. */
const CELL_MS = 5;

/** Blocks the thread while it solves. */
export function solveServable(service: Service, solver: Solver, { plan, seed }: CellTask): Served {
  const { cell, variation, requests: offered, warmUpMs, bounds } = plan;
  const { world, measured } = settingOf(service, cell, seed, offered, warmUpMs, variation);
  const first = world.workload.requests.findIndex(measured);
  const inBound = ({ id }: Offered): boolean => id >= first && id < first + bounds.requests;
  const { problem } = problemOf(new World(world), inBound, () => 1);
  const { value, requests, seconds, status } = fractionalBound(solver, problem, { cellMs: CELL_MS });
  return { requests, served: value, seconds, status };
}
