/** The expectations behind the information bound, on made-up ladders whose truth is known. */
import { describe, expect, test } from "vitest";
import { fractionalBound } from "../../bench/bounds/fractional.ts";
import { calibration, Expectation, type Recorded } from "../../bench/bounds/information.ts";
import { fitLogistic, logLoss, probability, type Sample } from "../../bench/bounds/logistic.ts";
import { randomProblem } from "../../bench/bounds/random-problem.ts";
import { revalued } from "../../bench/bounds/problem.ts";
import { Solver } from "../../bench/bounds/solver.ts";
import { Random } from "../../bench/simulator/random.ts";

const BINS = [6, 6, 6];

/** Inputs of a hidden ease; each exit sees it through its own noise, deeper exits more clearly, and is right accordingly. */
function recordedLadder(seed: number, rows: number): Recorded {
  const random = new Random(seed, "ladder");
  const table = Array.from({ length: rows }, () => {
    const ease = random.normal();
    return [1.2, 0.8, 0.5].map((noise, exit) => {
      // The middle exit's rows run the other way: nothing may depend on their order.
      const seen = (exit === 1 ? -1 : 1) * (ease + noise * random.normal());
      const right = random.uniform() < 1 / (1 + Math.exp(-(1 + exit + 2 * ease)));
      return { bin: Math.min(5, Math.max(0, Math.floor(3 + seen))), right };
    });
  });
  const at = (row: number, rung: number) => table[row]?.[rung] as { bin: number; right: boolean };
  return { rows, bin: (row, rung) => at(row, rung).bin, right: (row, rung) => at(row, rung).right };
}

describe("logistic regression", () => {
  const samples = (counts: [number, number][]): Sample[] =>
    counts.flatMap(([yes, no], feature) => [
      ...Array.from({ length: yes }, () => ({ on: [feature], yes: true })),
      ...Array.from({ length: no }, () => ({ on: [feature], yes: false })),
    ]);

  test("with hardly any penalty, probabilities are shares", () => {
    const model = fitLogistic(
      samples([
        [30, 10],
        [5, 45],
        [8, 8],
      ]),
      3,
      1e-6,
    );
    expect([0, 1, 2].map((feature) => probability(model, [feature]))).toEqual(
      [0.75, 0.1, 0.5].map((p) => expect.closeTo(p, 4)),
    );
  });

  test("a penalty draws what is rarely seen to the average, and what is often seen less", () => {
    const model = fitLogistic(
      samples([
        [300, 100],
        [0, 1],
      ]),
      2,
      3,
    );
    expect(probability(model, [0])).toBeCloseTo(0.75, 2);
    expect(probability(model, [1])).toBeGreaterThan(0.4);
  });

  test("the fit is the best there is: weights moved either way are worse", () => {
    const some = samples([
      [9, 3],
      [2, 7],
    ]);
    const model = fitLogistic(some, 2, 1);
    const worth = (intercept: number, weights: Float64Array): number =>
      -some.length * logLoss({ intercept, weights }, some) - weights.reduce((sum, w) => sum + w * w, 0) / 2;
    const best = worth(model.intercept, model.weights);
    for (const by of [-0.01, 0.01]) {
      expect(worth(model.intercept + by, model.weights)).toBeLessThan(best);
      expect(
        worth(
          model.intercept,
          model.weights.map((w, i) => (i === 0 ? w + by : w)),
        ),
      ).toBeLessThan(best);
      expect(
        worth(
          model.intercept,
          model.weights.map((w, i) => (i === 1 ? w + by : w)),
        ),
      ).toBeLessThan(best);
    }
  });

  test("samples that all agree leave a probability inside (0, 1)", () => {
    const p = probability(fitLogistic(samples([[20, 0]]), 1, 1), [0]);
    expect(p).toBeGreaterThan(0.9);
    expect(p).toBeLessThan(1);
  });

  test("nothing to learn from, or no penalty, is refused", () => {
    expect(() => fitLogistic([], 1, 1)).toThrow(RangeError);
    expect(() => fitLogistic(samples([[1, 1]]), 1, 0)).toThrow(RangeError);
  });
});

describe("expectations", () => {
  const validation = recordedLadder(1, 4000);
  const held = recordedLadder(2, 8000);
  const expectation = new Expectation(validation, BINS);

  test.each([0, 1, 2])("rung %i is right as often as expected, among inputs of every expectation", (rung) => {
    const { expected, observed, error } = calibration(expectation, held, rung);
    // Standard deviation of a share of 8,000: 0.005 at most; of 800: 0.018.
    expect(Math.abs(expected - observed)).toBeLessThan(0.02);
    expect(error).toBeLessThan(0.03);
  });

  test.each([0, 1, 2])("all confidences tell more of rung %i than its own", (rung) => {
    const own = (recorded: Recorded): Sample[] =>
      Array.from({ length: recorded.rows }, (_, row) => ({
        on: [recorded.bin(row, rung)],
        yes: recorded.right(row, rung),
      }));
    const alone = logLoss(fitLogistic(own(validation), 6, 1), own(held));
    expect(calibration(expectation, held, rung).logLoss).toBeLessThan(alone - 0.002);
  });

  test("the same sample gives the same, read from the table or not", () => {
    const bins = BINS.map((_, rung) => held.bin(17, rung));
    expect(expectation.rightOf(held, 17, 1)).toBe(expectation.right(bins, 1));
  });

  test("a row never seen in validation is held to be like the average", () => {
    const narrow: Recorded = { rows: 400, bin: () => 0, right: (row) => row % 4 > 0 };
    expect(new Expectation(narrow, [2]).right([1], 0)).toBeCloseTo(0.75, 1);
  });
});

test("a bound on expectations is no less than what a policy expects of any choice it can make", async () => {
  const solver = await Solver.load();
  const problem = randomProblem({ seed: 5, requests: 80, users: 4, nodes: 1, load: 30, deadlineMs: 100 });
  const held = recordedLadder(3, 80);
  const expectation = new Expectation(recordedLadder(1, 2000), BINS);
  const values = revalued(problem, (request, option) => expectation.rightOf(held, request, option % 3));
  // Whoever serves each request on the user's own device, one at a time, keeps every window there.
  const busyUntil = new Map<number, number>();
  let score = 0;
  for (const { options } of values.requests) {
    for (const { value, uses } of options) {
      const [own] = uses;
      if (uses.length !== 1 || !own) continue;
      const endAt = Math.max(own.releaseAt, busyUntil.get(own.resource) ?? 0) + own.workMs;
      if (endAt > own.dueAt) continue;
      busyUntil.set(own.resource, endAt);
      score += value;
      break;
    }
  }
  expect(score).toBeGreaterThan(10);
  expect(fractionalBound(solver, values).value).toBeGreaterThan(score);
});
