import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { Solver } from "../../bench/bounds/solver.ts";
import { chainsOf, type Chain, type ChainProblem, type Clock, type Piece } from "../../bench/gap/chains.ts";
import { FORMAT, STEPS, type Gap, type GapFile } from "../../bench/gap/results.ts";
import { gapCells, gapRows, missedTexts, rightTexts } from "../../bench/gap/rows.ts";
import { placeAsTheyArrive, search, type Schedule } from "../../bench/gap/search.ts";
import { solveGap, type GapBench } from "../../bench/gap/solve.ts";
import { Timeline } from "../../bench/gap/timeline.ts";
import { gapText } from "../../bench/reporting/gap.ts";
import { BatchSizes } from "../../bench/sim/batch-sizes.ts";
import { problemOf } from "../../bench/sim/bound-problem.ts";
import { loadService, settingOf } from "../../bench/sim/setting.ts";
import type { Offered } from "../../bench/simulator/workload.ts";
import { World } from "../../bench/simulator/world.ts";

const REAL: Clock = { own: (ms) => ms, real: (ms) => ms };
const EXACT_MS = 1e-6;

describe("a timeline", () => {
  const work = fc.record({
    fromAt: fc.nat(60),
    workMs: fc.integer({ min: 1, max: 9 }),
    waitMs: fc.nat(30),
    keep: fc.boolean(),
  });

  test("finds the earliest room there is, and gives back what is taken out", () => {
    fc.assert(
      fc.property(fc.array(work, { maxLength: 25 }), (pieces) => {
        const timeline = new Timeline();
        const busy = new Set<number>();
        const isFree = (at: number, ms: number): boolean =>
          !Array.from({ length: ms }, (_, i) => at + i).some((t) => busy.has(t));
        for (const { fromAt, workMs, waitMs, keep } of pieces) {
          const dueAt = fromAt + workMs + waitMs;
          const starts = Array.from({ length: waitMs + 1 }, (_, i) => fromAt + i).filter((at) => isFree(at, workMs));
          const found = timeline.earliest(fromAt, workMs, dueAt);
          expect(found).toBe(starts[0] ?? null);
          if (found === null) continue;
          timeline.add(found, workMs);
          if (keep) for (let i = 0; i < workMs; i++) busy.add(found + i);
          else timeline.remove(found);
        }
      }),
    );
  });

  test("what is not there cannot be taken out", () => {
    expect(() => new Timeline().remove(3)).toThrow(RangeError);
  });
});

/** What a machine may not be asked: two things at once, anything outside its window, or a result that has not arrived. */
function checkSchedule({ requests, clocks }: ChainProblem, { placed, value }: Schedule): void {
  const busy = clocks.map((): [number, number][] => []);
  let sum = 0;
  placed.forEach((one, request) => {
    if (!one) return;
    expect(requests[request]?.chains).toContain(one.chain);
    sum += one.chain.value;
    let at = requests[request]?.arrivalAt ?? 0;
    one.chain.pieces.forEach(({ resource, releaseAt, dueAt, workMs, delayMs }, i) => {
      const start = one.starts[i] as number;
      const { own, real } = clocks[resource] as Clock;
      expect(start).toBeGreaterThanOrEqual(releaseAt);
      expect(start).toBeGreaterThanOrEqual(own(at + (i > 0 ? delayMs : 0)) - EXACT_MS);
      expect(start + workMs).toBeLessThanOrEqual(dueAt + EXACT_MS);
      (busy[resource] as [number, number][]).push([start, start + workMs]);
      at = real(start + workMs);
    });
  });
  expect(value).toBeCloseTo(sum, 9);
  for (const own of busy) {
    own.sort(([a], [b]) => a - b);
    own
      .slice(1)
      .forEach(([start], i) => expect(start).toBeGreaterThanOrEqual((own[i] as [number, number])[1] - EXACT_MS));
  }
}

describe("a search", () => {
  const chain = (resource: number, value: number, workMs: number, at: number, dueMs: number): Chain => {
    const piece: Piece = { resource, releaseAt: at, dueAt: at + dueMs, workMs, delayMs: 0 };
    return { value, pieces: [piece], sharedMs: workMs, way: 0 };
  };
  const requests = fc.array(
    fc.record({
      at: fc.nat(20),
      dueMs: fc.integer({ min: 4, max: 20 }),
      shallowMs: fc.integer({ min: 1, max: 4 }),
      gain: fc.nat(50),
    }),
    { minLength: 1, maxLength: 5 },
  );

  test("is as good as trying everything, where there is little to try", () => {
    fc.assert(
      fc.property(requests, (drawn) => {
        const problem: ChainProblem = {
          clocks: [REAL],
          requests: drawn.map(({ at, dueMs, shallowMs, gain }) => ({
            arrivalAt: at,
            chains: [chain(0, 0.5, shallowMs, at, dueMs), chain(0, 0.5 + gain / 100, 2 * shallowMs, at, dueMs)],
          })),
        };
        const found = search(problem, 1, 2000);
        checkSchedule(problem, found);
        expect(found.value).toBeCloseTo(bestOf(problem), 9);
      }),
      { seed: 7, numRuns: 60 },
    );
  });

  /** One machine: every order in which requests may follow one another, with every choice of chains. */
  function bestOf({ requests: all }: ChainProblem): number {
    const from = (left: number, freeAt: number): number => {
      let best = 0;
      all.forEach(({ chains }, i) => {
        if ((left & (1 << i)) === 0) return;
        for (const { value, pieces } of chains) {
          const { releaseAt, dueAt, workMs } = pieces[0] as Piece;
          const endsAt = Math.max(freeAt, releaseAt) + workMs;
          if (endsAt <= dueAt) best = Math.max(best, value + from(left & ~(1 << i), endsAt));
        }
      });
      return best;
    };
    return from((1 << all.length) - 1, 0);
  }
});

describe("a cell taken apart", () => {
  let bench: GapBench;
  beforeAll(async () => {
    bench = {
      service: await loadService("test"),
      training: await loadService("validation"),
      solver: await Solver.load(),
    };
  });
  const cell = { workload: "mmpp2", users: 8, load: 2.5, deadlineMs: 75 } as const;

  test("schedules are such as machines can keep", () => {
    const { world: options, measured } = settingOf(bench.service, cell, 1, 300, 300);
    const world = new World(options);
    const problem = chainsOf(
      world,
      problemOf(world, measured, () => 1, new BatchSizes()),
    );
    for (const found of [placeAsTheyArrive(problem), search(problem, 1, 5)]) checkSchedule(problem, found);
  });

  test("every step down is a step down where it must be, and the same seed gives the same", () => {
    const task = {
      plan: {
        key: "cell",
        cell,
        variation: { name: "" },
        requests: 400,
        warmUpMs: 500,
        bounds: { kinds: [], seeds: 0, requests: 300 },
      },
      seed: 2,
    };
    // Truths instead of fitted expectations, which take long: any worth will do.
    const truth = ({ user, input }: Offered, rung: number): number =>
      Number(bench.service.inputs.get(user.application.name)?.right(input, rung));
    const { seconds: _, ...gap } = solveGap(bench, truth, task);
    expect(gap.requests).toBe(300);
    expect(gap.foresight.right).toBeLessThanOrEqual(gap.bound + EXACT_MS);
    expect(gap.arriving.right).toBeLessThanOrEqual(gap.foresight.right);
    expect(gap.unseen.right).toBeLessThan(gap.foresight.right);
    expect(gap.dystri.right).toBeLessThanOrEqual(gap.bound);
    expect(gap.dystri.right).toBeGreaterThan(0.5 * gap.bound);
    for (const step of STEPS) {
      expect(gap[step].onTime).toBeLessThanOrEqual(gap.requests);
      expect(gap[step].right).toBeLessThanOrEqual(gap[step].onTime);
    }
    const { seconds: __, ...again } = solveGap(bench, truth, task);
    expect(again).toEqual(gap);
  });
});

describe("what is told of it", () => {
  const gap = (scale: number): Gap => ({
    requests: 200,
    bound: 180 * scale,
    foresight: { onTime: 200, right: 178 * scale },
    arriving: { onTime: 199, right: 176 * scale },
    unseen: { onTime: 198, right: 172 * scale },
    steady: { onTime: 198, right: 171 * scale },
    dystri: { onTime: 197, right: 170 * scale },
    seconds: 1,
  });
  const fileOf = (cells: GapFile["cells"]): GapFile => ({ format: FORMAT, fingerprint: "now", cells });

  test("cells that differ in their users make a row, requests together", () => {
    const [few, many] = ["poisson-8u-1x-75ms", "poisson-32u-1x-75ms"];
    const file = fileOf({ [few as string]: { 1: gap(1), 2: gap(1) }, [many as string]: { 1: gap(0.5) } });
    const rows = gapRows(file);
    expect(rightTexts(rows)).toEqual([
      ["poisson, load 1, 75 ms", "75.00", "74.17", "73.33", "71.67", "71.25", "70.83"],
    ]);
    expect(missedTexts(rows)).toEqual([["poisson, load 1, 75 ms", "0.00", "0.50", "1.00", "1.00", "1.50"]]);
    expect(gapCells().map(({ key }) => key)).toEqual(expect.arrayContaining([few, many]));
  });

  test("nothing is told where nothing was found out", () => {
    expect(gapText(fileOf({}))).toBe("");
    expect(gapText(fileOf({ "poisson-8u-1x-75ms": { 1: gap(1) } }))).toContain("| poisson, load 1, 75 ms | 90.00 |");
  });
});
