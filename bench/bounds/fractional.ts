/**
 * The clairvoyant bound: what a scheduler that knows every arrival, every answer and every bandwidth in advance could
 * reach if it could also split requests and interrupt work at will. No policy can do better on the same requests.
 *
 * The bound is not taken from the solver's word. Limited time gets a price (the rows' dual values); then, whatever the
 * prices are, a schedule is worth at most what all time on sale costs plus what each request gains by its best option at
 * these prices (weak duality: see `certified`). Prices a little off, or a solver stopped early, make the bound looser but
 * never wrong.
 */
import { performance } from "node:perf_hooks";
import { type Capacity, type CapacityRequest, capacityOf, groupPrices } from "./capacity.ts";
import { componentsOf, unlimited } from "./components.ts";
import { withoutIdle } from "./contention.ts";
import { type Dominance, withoutDominated } from "./dominance.ts";
import { type BoundProblem, checkProblem, feasible, snapped } from "./problem.ts";
import { writeProgramme } from "./programme.ts";
import type { Solver, SolverStatus } from "./solver.ts";

/** The grid, and the lengths of windows in its cells where windows are written out; cells cover windows of all lengths. */
export const CELL_MS = 25;
export const WINDOW_CELLS = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24];

/** Relative difference between the certified value and the solver's objective that counts as none. */
const TIGHT = 1e-5;

export type FractionalOptions = {
  /** Windows of uses are widened to whole cells; `exact` leaves them as they are, which suits small problems. */
  cellMs?: number | "exact";
  capacity?: CapacityRequest;
  /** Interior points are the faster, the more so the larger the problem. */
  method?: "simplex" | "ipm";
  timeLimitS?: number;
};

export type FractionalBound = {
  /** No schedule is worth more. */
  value: number;
  /** Optimum as the solver reports it. */
  objective: number;
  /** `optimal` where the solver's objective and the certified value agree, to TIGHT of it: what it says of itself is not asked. */
  status: SolverStatus;
  /** Requests of the problem, with those nothing can be done for. */
  requests: number;
  rows: number;
  columns: number;
  components: number;
  /** Of all of it: making the programme, solving and certifying. */
  seconds: number;
};

/** Throws RangeError when the problem makes no sense. Blocks the thread while it solves. */
export function fractionalBound(
  solver: Solver,
  problem: BoundProblem,
  { cellMs = CELL_MS, capacity: wanted = { form: "cells" }, method = "ipm", timeLimitS = 600 }: FractionalOptions = {},
): FractionalBound {
  const startedAt = performance.now();
  const elapsedS = (): number => (performance.now() - startedAt) / 1000;
  const capacity = capacityOf(reduced(problem, cellMs, "mixed"), wanted);
  const bound: FractionalBound = {
    value: 0,
    objective: 0,
    status: "optimal",
    requests: problem.requests.length,
    rows: 0,
    columns: 0,
    components: 0,
    seconds: 0,
  };
  const prices = new Float64Array(capacity.limits.length);
  for (const component of componentsOf(capacity)) {
    if (component.limits.length === 0) {
      bound.objective += unlimited(capacity, component.columns);
      continue;
    }
    const { programme, limitRows } = writeProgramme(capacity, component, false);
    const solution = solver.solveLinear(programme, method, Math.max(0, timeLimitS - elapsedS()));
    component.limits.forEach((limit, i) => (prices[limit] = solution.prices[limitRows[i] as number] as number));
    bound.objective += solution.objective;
    bound.rows += programme.rows;
    bound.columns += programme.columns;
    bound.components++;
    if (solution.status === "time limit") bound.status = "time limit";
  }
  // A solver stopped early may leave prices that are worse than none.
  bound.value = Math.min(certified(capacity, prices), unlimited(capacity, capacity.columns.keys()));
  if (bound.status === "optimal" && bound.value - bound.objective > TIGHT * bound.value) bound.status = "not solved";
  bound.seconds = elapsedS();
  return bound;
}

/** Share of what the bound allows; 1 where it allows nothing. `achieved` is in the unit of the options' values. */
export function shareOf({ value }: Pick<FractionalBound, "value">, achieved: number): number {
  return value > 0 ? achieved / value : 1;
}

/** The same optimum, or a little more where windows are widened, in as few options and uses as possible. */
export function reduced(problem: BoundProblem, cellMs: number | "exact", dominance: Dominance): BoundProblem {
  checkProblem(problem);
  const possible = feasible(problem);
  let small = withoutIdle(cellMs === "exact" ? possible : snapped(possible, cellMs));
  // Each makes work for the other; after the second turn there is little left.
  for (let turn = 0; turn < 2; turn++) small = withoutIdle(withoutDominated(small, dominance));
  return small;
}

/**
 * Σ capacity·price over the limits + Σ over requests of max(0, max over options of value − Σ work·price).
 *
 * Whatever the prices ≥ 0: in a schedule, the work that each limit counts is at most its capacity, so at these prices
 * all work done costs at most the first sum. A request served by some option is worth its value, which is what its work
 * costs plus its gain, and that is at most the second term; the work costs at least the group's price, since it is done
 * in some of its cells, or counts in all of its windows.
 */
export function certified(capacity: Capacity, limitPrices: Float64Array): number {
  const prices = groupPrices(capacity, limitPrices);
  const gains = new Map<number, number>();
  for (const { request, value, uses } of capacity.columns) {
    const gain = uses.reduce((left, { group, workMs }) => left - workMs * (prices[group] as number), value);
    gains.set(request, Math.max(gains.get(request) ?? 0, gain));
  }
  let sum = 0;
  for (const [limit, price] of limitPrices.entries()) sum += (capacity.limits[limit]?.capacity as number) * price;
  for (const gain of gains.values()) sum += gain;
  return sum;
}
