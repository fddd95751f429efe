/** The upper bounds of bench/bounds against schedules found by trying everything, and against each other. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CapacityRequest, capacityOf } from "../../bench/bounds/capacity.ts";
import { certified, type FractionalOptions, fractionalBound, reduced, shareOf } from "../../bench/bounds/fractional.ts";
import { integerBound } from "../../bench/bounds/integer.ts";
import {
  type BoundOption,
  type BoundProblem,
  chained,
  feasible,
  type Resource,
  revalued,
  snapped,
  type Use,
} from "../../bench/bounds/problem.ts";
import { writeProgramme } from "../../bench/bounds/programme.ts";
import { randomProblem } from "../../bench/bounds/random-problem.ts";
import { Solver } from "../../bench/bounds/solver.ts";

const solver = await Solver.load();
/** What rounding and interior points may take from an optimum. */
const CLOSE = 1e-5;

const lane = (name: string): Resource => ({ name, speed: 1, lanes: 1 });
const use = (releaseAt: number, dueAt: number, workMs: number, resource = 0): Use => ({
  resource,
  releaseAt,
  dueAt,
  workMs,
});
const option = (value: number, ...uses: Use[]): BoundOption => ({ value, uses });
const problemOf = (resources: Resource[], ...requests: BoundOption[][]): BoundProblem => ({
  resources,
  requests: requests.map((options) => ({ options })),
});
const fractional = (problem: BoundProblem, options: FractionalOptions = {}): number =>
  fractionalBound(solver, problem, options).value;
const exact: FractionalOptions = { cellMs: "exact" };

describe("by hand", () => {
  test.each(["cells", "windows"] as const)(
    "two requests that want the same ten milliseconds share them (%s)",
    (form) => {
      const both = problemOf([lane("node")], [option(1, use(0, 10, 6))], [option(1, use(0, 10, 6))]);
      expect(fractional(both, { ...exact, capacity: { form } })).toBeCloseTo(10 / 6, 6);
      expect(integerBound(solver, both, { cellMs: "exact" })).toMatchObject({
        value: 1,
        objective: 1,
        status: "optimal",
      });
    },
  );

  test("a coarser grid knows less: in a cell of 25 ms both find room", () => {
    const both = problemOf([lane("node")], [option(1, use(0, 10, 8))], [option(1, use(0, 10, 8))]);
    expect(fractional(both)).toBe(2);
  });

  test("time before and after a busy window does not help inside it", () => {
    const inside = [option(1, use(100, 125, 20))];
    const crowded = problemOf([lane("node")], inside, inside, inside, [option(1, use(0, 1000, 900))]);
    // 25 ms for 3 × 20 ms, and of the 1000 ms what the long request leaves.
    expect(fractional(crowded)).toBeCloseTo(1.25 + 1, 6);
  });

  test("the cheaper exit serves both where the better one serves one", () => {
    const ladder = [option(0.7, use(0, 10, 2)), option(0.9, use(0, 10, 8))];
    const both = problemOf([lane("node")], ladder, ladder);
    expect(integerBound(solver, both, { cellMs: "exact" }).value).toBeCloseTo(0.7 + 0.9, 9);
    expect(fractional(both, exact)).toBeCloseTo(0.7 + 0.9, 6);
  });

  test("a rung below the line between two others serves whole requests only", () => {
    const ladder = [option(0.3, use(0, 10, 2)), option(0.55, use(0, 10, 5)), option(0.9, use(0, 10, 8))];
    const both = problemOf([lane("node")], ladder, [option(1, use(0, 10, 5))]);
    expect(integerBound(solver, both, { cellMs: "exact" }).value).toBeCloseTo(0.55 + 1, 9);
    expect(fractional(both, exact)).toBeCloseTo((0.3 + 0.9) / 2 + 1, 6);
  });

  test("a worse option at another time is kept", () => {
    const early = option(0.9, use(0, 10, 8));
    const late = option(1, use(50, 60, 8));
    // 2 of the late 10 ms are left for a quarter of the first request.
    expect(fractional(problemOf([lane("node")], [early, late], [late]), exact)).toBeCloseTo(1 + 0.75 * 0.9 + 0.25, 6);
  });

  test("a quiet time counts when the windows of a busy one reach into it", () => {
    const busy = [option(1, use(95, 125, 15)), option(1, use(100, 125, 14))];
    const problem = problemOf([lane("node")], [option(1, use(90, 100, 10))], busy, busy);
    expect(fractional(problem, exact)).toBeCloseTo(1 + 25 / 14, 6);
  });

  test("the certificate counts all time on sale, and no request that loses by being served", () => {
    const same = [option(1, use(0, 10, 8))];
    const capacity = capacityOf(problemOf([lane("node")], same, same, same), { form: "cells" });
    expect(certified(capacity, Float64Array.of(0.2))).toBeCloseTo(0.2 * 10, 9);
    expect(certified(capacity, Float64Array.of(0.1))).toBeCloseTo(0.1 * 10 + 3 * 0.2, 9);
  });

  test("two lanes serve two, one of half the speed none", () => {
    const requests = [[option(1, use(0, 10, 8))], [option(1, use(0, 10, 8))]];
    expect(fractional(problemOf([{ name: "edge", speed: 2, lanes: 2 }], ...requests), exact)).toBe(2);
    expect(fractional(problemOf([{ name: "slow", speed: 1, lanes: 2 }], ...requests), exact)).toBe(0);
  });

  test("an option needs every resource it uses", () => {
    const chain = (): BoundOption[] => [option(1, use(0, 10, 1, 0), use(0, 10, 10, 1))];
    expect(fractional(problemOf([lane("uplink"), lane("node")], chain(), chain()), exact)).toBeCloseTo(1, 6);
  });

  test("nothing to do is worth nothing, and its share is whole", () => {
    const nothing = fractionalBound(solver, problemOf([lane("node")], [], [option(0, use(0, 10, 1))]));
    expect(nothing).toMatchObject({ value: 0, objective: 0, status: "optimal", requests: 2, rows: 0 });
    expect(shareOf(nothing, 0)).toBe(1);
    expect(shareOf({ value: 4 }, 3)).toBe(0.75);
  });

  test("a chain's windows leave room for what comes before and after", () => {
    const resources = [lane("uplink"), { name: "edge", speed: 4, lanes: 2 }];
    const steps = [
      { resource: 0, delayMs: 1, workMs: 10 },
      { resource: 1, delayMs: 5, workMs: 8 },
    ];
    const { value, uses } = chained(resources, { arrivalAt: 100, dueAt: 150, value: 0.5 }, steps, 6);
    expect(value).toBe(0.5);
    // 8 ms of work take 4 ms on a lane of double speed.
    expect(uses).toEqual([use(101, 150 - 6 - 4 - 5, 10, 0), use(100 + 1 + 10 + 5, 150 - 6, 8, 1)]);
  });

  test.each([
    ["a resource without speed", problemOf([{ name: "node", speed: 0, lanes: 1 }])],
    ["half a lane", problemOf([{ name: "node", speed: 1, lanes: 0.5 }])],
    ["an unknown resource", problemOf([lane("node")], [option(1, use(0, 10, 1, 1))])],
    ["a time that is none", problemOf([lane("node")], [option(1, use(Number.NaN, 10, 1))])],
    ["negative work", problemOf([lane("node")], [option(1, use(0, 10, -1))])],
    ["a value that is none", problemOf([lane("node")], [option(Infinity, use(0, 10, 1))])],
  ])("%s is refused", (_, problem) => {
    expect(() => fractionalBound(solver, problem)).toThrow(RangeError);
  });

  test("whole options are for small problems", () => {
    const many = problemOf([lane("node")], ...Array.from({ length: 301 }, () => [option(1, use(0, 10, 1))]));
    expect(() => integerBound(solver, many)).toThrow(RangeError);
  });
});

/** Small problems with windows that overlap in every way, and resources too slow for all of it. */
const resources = fc.array(
  fc
    .record({ lanes: fc.integer({ min: 1, max: 2 }), perLane: fc.constantFrom(0.5, 1, 2) })
    .map(({ lanes, perLane }): Resource => ({ name: "some", speed: lanes * perLane, lanes })),
  { minLength: 1, maxLength: 3 },
);
const problems = resources.chain((all) => {
  const someUse = fc
    .record({
      resource: fc.nat(all.length - 1),
      releaseAt: fc.integer({ min: 0, max: 60 }),
      lengthMs: fc.integer({ min: 4, max: 50 }),
      workMs: fc.integer({ min: 1, max: 25 }),
    })
    .map(({ releaseAt, lengthMs, ...rest }): Use => ({ ...rest, releaseAt, dueAt: releaseAt + lengthMs }));
  const someOption = fc.record({
    value: fc.integer({ min: 0, max: 10 }).map((tenths) => tenths / 10),
    uses: fc.array(someUse, { minLength: 0, maxLength: 2 }),
  });
  return fc
    .array(fc.array(someOption, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 5 })
    .map((requests) => problemOf(all, ...requests));
});
const runs = { numRuns: 50 };
/** The solver runs some hundred times in each of these, on a machine that may do other things. */
const PATIENCE_MS = 60_000;

/** Whether earliest-due-first on every resource, pre-emptive, does all of this in time. One piece of work runs on one lane. */
function canBeDone({ resources: all }: BoundProblem, chosen: readonly BoundOption[]): boolean {
  return all.every(({ speed, lanes }, resource) => {
    const jobs = chosen
      .flatMap(({ uses }) => uses.filter((one) => one.resource === resource))
      .map((one) => ({ ...one }));
    const perLane = speed / lanes;
    let now = 0;
    for (;;) {
      const left = jobs.filter(({ workMs }) => workMs > 1e-9);
      if (left.length === 0) return true;
      const ready = left.filter(({ releaseAt }) => releaseAt <= now).sort((a, b) => a.dueAt - b.dueAt);
      const running = ready.slice(0, lanes);
      const releases = left.map(({ releaseAt }) => releaseAt).filter((at) => at > now);
      const nextAt = Math.min(...releases, ...running.map(({ workMs }) => now + workMs / perLane));
      // None of those left is done before then.
      if (left.some(({ dueAt }) => dueAt < nextAt - 1e-9)) return false;
      for (const job of running) job.workMs -= (nextAt - now) * perLane;
      now = nextAt;
    }
  });
}

/** Worth of the best choice that earliest-due-first carries out. */
function bestByTrying(problem: BoundProblem, from = 0, chosen: readonly BoundOption[] = []): number {
  const request = problem.requests[from];
  if (!request) return canBeDone(problem, chosen) ? chosen.reduce((sum, { value }) => sum + value, 0) : 0;
  const without = bestByTrying(problem, from + 1, chosen);
  return Math.max(without, ...request.options.map((one) => bestByTrying(problem, from + 1, [...chosen, one])));
}

/** Nothing left out and nothing split: the programme of the whole problem as it is written down. */
function plainly(problem: BoundProblem, integral: boolean, form: CapacityRequest = { form: "cells" }): number {
  const capacity = capacityOf(problem, form);
  const all = { columns: [...capacity.columns.keys()], limits: [...capacity.limits.keys()] };
  if (all.columns.length === 0) return 0;
  const { programme } = writeProgramme(capacity, all, integral);
  return integral ? solver.solveInteger(programme, 60).bound : solver.solveLinear(programme, "simplex", 60).objective;
}

describe("on small problems", () => {
  test(
    "no schedule is worth more than any bound; on single lanes the bound in whole options is reached",
    () => {
      fc.assert(
        fc.property(problems, (problem) => {
          const best = bestByTrying(problem);
          const whole = integerBound(solver, problem, { cellMs: "exact" });
          expect(whole.status).toBe("optimal");
          expect(whole.value).toBeGreaterThanOrEqual(best - CLOSE);
          if (problem.resources.every(({ lanes }) => lanes === 1))
            expect(whole.value).toBeLessThanOrEqual(best + CLOSE);
          const fine = fractional(problem, exact);
          expect(fine).toBeGreaterThanOrEqual(whole.value - CLOSE);
          expect(fractional(problem)).toBeGreaterThanOrEqual(fine - CLOSE);
          expect(integerBound(solver, problem).value).toBeGreaterThanOrEqual(whole.value - CLOSE);
        }),
        runs,
      );
    },
    PATIENCE_MS,
  );

  test(
    "cells say what all windows say",
    () => {
      fc.assert(
        fc.property(problems, fc.constantFrom<number | "exact">("exact", 5, 25), (problem, cellMs) => {
          const windows = fractional(problem, { cellMs, capacity: { form: "windows" } });
          expect(Math.abs(fractional(problem, { cellMs }) - windows)).toBeLessThan(CLOSE);
        }),
        runs,
      );
    },
    PATIENCE_MS,
  );

  test(
    "leaving windows out never lowers the bound",
    () => {
      fc.assert(
        fc.property(problems, fc.subarray([5, 10, 15, 20, 25, 40, 60]), (problem, lengthsMs) => {
          const some = fractional(problem, { cellMs: 5, capacity: { form: "windows", lengthsMs } });
          const fewer = fractional(problem, {
            cellMs: 5,
            capacity: { form: "windows", lengthsMs: lengthsMs.slice(1) },
          });
          expect(some).toBeGreaterThanOrEqual(fractional(problem, { cellMs: 5 }) - CLOSE);
          expect(fewer).toBeGreaterThanOrEqual(some - CLOSE);
        }),
        runs,
      );
    },
    PATIENCE_MS,
  );

  test(
    "what is left out of the programme changes nothing",
    () => {
      fc.assert(
        fc.property(problems, fc.constantFrom<number | "exact">("exact", 25), (problem, cellMs) => {
          const possible = feasible(problem);
          const all = cellMs === "exact" ? possible : snapped(possible, cellMs);
          expect(plainly(reduced(problem, cellMs, "mixed"), false)).toBeCloseTo(plainly(all, false), 5);
          expect(plainly(reduced(problem, cellMs, "whole"), true)).toBeCloseTo(plainly(all, true), 5);
          expect(fractional(problem, { cellMs })).toBeCloseTo(plainly(all, false), 4);
        }),
        runs,
      );
    },
    PATIENCE_MS,
  );

  test(
    "at whatever prices, the certificate is a bound",
    () => {
      const prices = fc.array(fc.double({ min: 0, max: 0.3, noNaN: true }), { minLength: 1, maxLength: 8 });
      const forms = fc.constantFrom<CapacityRequest>({ form: "cells" }, { form: "windows" });
      fc.assert(
        fc.property(problems, forms, prices, (problem, form, some) => {
          const possible = feasible(problem);
          const capacity = capacityOf(possible, form);
          const given = Float64Array.from(capacity.limits, (_, limit) => some[limit % some.length] as number);
          expect(certified(capacity, given)).toBeGreaterThanOrEqual(plainly(possible, false) - CLOSE);
        }),
        runs,
      );
    },
    PATIENCE_MS,
  );
});

describe("on a crowded world", () => {
  const world = { seed: 3, requests: 60, users: 4, nodes: 1, load: 30, deadlineMs: 100 };
  const problem = randomProblem(world, "expected");

  test("the same seed makes the same problem", () => {
    expect(randomProblem(world, "expected")).toEqual(problem);
    expect(randomProblem({ ...world, seed: 4 }, "expected")).not.toEqual(problem);
  });

  test("both methods find the same bound, and it binds", () => {
    const inside = fractionalBound(solver, problem);
    const corner = fractionalBound(solver, problem, { method: "simplex" });
    expect(inside.status).toBe("optimal");
    expect(corner.status).toBe("optimal");
    expect(inside.value).toBeCloseTo(corner.value, 4);
    expect(inside.value - inside.objective).toBeGreaterThanOrEqual(-CLOSE);
    const unlimited = problem.requests.reduce(
      (sum, { options }) => sum + Math.max(...options.map(({ value }) => value)),
      0,
    );
    expect(inside.value).toBeLessThan(unlimited - 1);
  });

  test.each(["simplex", "ipm"] as const)("%s stopped before it begins is looser, and still a bound", (method) => {
    const stopped = fractionalBound(solver, problem, { method, timeLimitS: 0 });
    expect(stopped.status).toBe("time limit");
    expect(stopped.value).toBeGreaterThan(fractional(problem));
    expect(stopped.value).toBeLessThanOrEqual(problem.requests.length);
    const whole = integerBound(solver, problem, { timeLimitS: 0 });
    expect(whole).toMatchObject({ status: "time limit", objective: 0 });
    expect(whole.value).toBeGreaterThan(fractional(problem));
  });

  test("worth half as much each, all is worth half as much", () => {
    const half = revalued(problem, (request, i) => (problem.requests[request]?.options[i]?.value as number) / 2);
    expect(fractional(half)).toBeCloseTo(fractional(problem) / 2, 4);
  });

  test("requests far apart are bounded apart", () => {
    const later = problem.requests.map(({ options }) => ({
      options: options.map(({ value, uses }) => ({
        value,
        uses: uses.map((one) => ({ ...one, releaseAt: one.releaseAt + 1e6, dueAt: one.dueAt + 1e6 })),
      })),
    }));
    const twice = fractionalBound(solver, { ...problem, requests: [...problem.requests, ...later] });
    const once = fractionalBound(solver, problem);
    expect(twice.components).toBe(2 * once.components);
    expect(twice.value).toBeCloseTo(2 * once.value, 4);
  });
});
