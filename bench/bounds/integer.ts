/**
 * The same bound in whole options: each request is served one way or not at all. For small problems only; it shows how
 * much of the gap between a policy and the fractional bound no policy could close.
 *
 * With exact cells and resources of one lane this is the true optimum of pre-emptive schedules, each use on its own: on
 * one processor, work fits its windows if and only if no window is over-full. (A request's steps are held to their
 * order only through their windows, and no piece of work is kept from running on two lanes at once.)
 */
import { performance } from "node:perf_hooks";
import { capacityOf } from "./capacity.ts";
import { componentsOf, unlimited } from "./components.ts";
import { CELL_MS, reduced } from "./fractional.ts";
import type { BoundProblem } from "./problem.ts";
import { writeProgramme } from "./programme.ts";
import type { Solver, SolverStatus } from "./solver.ts";

export type IntegerBound = {
  /** No schedule is worth more, within the solver's tolerances (unlike the fractional bound, this is its word). */
  value: number;
  /** Worth of the best choice found: `value` where `status` is optimal. */
  objective: number;
  status: SolverStatus;
  rows: number;
  columns: number;
  seconds: number;
};

/** As many requests as it is meant for. */
export const MOST_REQUESTS = 300;

/** Throws RangeError when the problem is too large or makes no sense. Blocks the thread for about `timeLimitS` at most. */
export function integerBound(
  solver: Solver,
  problem: BoundProblem,
  { cellMs = CELL_MS, timeLimitS = 60 }: { cellMs?: number | "exact"; timeLimitS?: number } = {},
): IntegerBound {
  if (problem.requests.length > MOST_REQUESTS) {
    throw new RangeError(`${problem.requests.length} requests; whole options are for at most ${MOST_REQUESTS}`);
  }
  const startedAt = performance.now();
  const elapsedS = (): number => (performance.now() - startedAt) / 1000;
  const capacity = capacityOf(reduced(problem, cellMs, "whole"), { form: "cells" });
  const bound: IntegerBound = { value: 0, objective: 0, status: "optimal", rows: 0, columns: 0, seconds: 0 };
  for (const component of componentsOf(capacity)) {
    const most = unlimited(capacity, component.columns);
    if (component.limits.length === 0) {
      bound.value += most;
      bound.objective += most;
      continue;
    }
    const { programme } = writeProgramme(capacity, component, true);
    const solution = solver.solveInteger(programme, Math.max(0, timeLimitS - elapsedS()));
    bound.value += Math.min(most, solution.bound);
    // Before it has found anything the solver speaks of −∞; to serve nobody is always possible.
    bound.objective += Math.max(0, solution.objective);
    bound.rows += programme.rows;
    bound.columns += programme.columns;
    if (solution.status !== "optimal") bound.status = solution.status;
  }
  bound.seconds = elapsedS();
  return bound;
}
