import { describe, expect, test } from "vitest";
import {
  calibrationError,
  cascade,
  chooseThreshold,
  evidenceFit,
  interval,
  type RungAnswers,
} from "../../scripts/evaluation.ts";
import { ladder } from "../support/ladder.ts";

/** Answers of a rung from [confidence, right, bin] per sample. */
function answers(...samples: [confidence: number, right: 0 | 1, bin?: number][]): RungAnswers {
  return {
    confidence: Float64Array.from(samples, ([confidence]) => confidence),
    right: Uint8Array.from(samples, ([, right]) => right),
    bin: Uint8Array.from(samples, ([, , bin]) => bin ?? 0),
  };
}

const repeat = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

test("the interval of 90 % of 10,000 samples is 0.59 points to each side", () => {
  expect(100 * interval(0.9, 10_000)).toBeCloseTo(0.588, 3);
});

describe("calibration error", () => {
  test("is nothing where confidence is what it says", () => {
    expect(calibrationError(answers([0.75, 1], [0.75, 1], [0.75, 1], [0.75, 0]))).toBeCloseTo(0, 10);
  });

  test("weighs the gap of each bin by its samples, whichever way it points", () => {
    // Three of four samples are in the bin of .9 and one of them is right; the one in the bin of .5 is right.
    const rung = answers([0.9, 1], [0.9, 0], [0.9, 0], [0.5, 1]);
    expect(calibrationError(rung)).toBeCloseTo((3 / 4) * (0.9 - 1 / 3) + (1 / 4) * 0.5, 10);
  });

  test("keeps a confidence of 1 in the highest bin", () => {
    expect(calibrationError(answers([1, 1], [1, 0]))).toBe(0.5);
  });
});

describe("the cascade", () => {
  const shallow = answers([0.9, 1], [0.6, 0], [0.4, 1]);
  const deep = answers([0.1, 0], [0.9, 1], [0.9, 0]);

  test("stops an input whose confidence reaches the threshold, and charges every stage that ran", () => {
    expect(cascade([shallow, deep], [1, 10], 0.6)).toEqual({
      accuracy: 1 / 3,
      mflops: (1 + 1 + 11) / 3,
      stops: [2 / 3, 1 / 3],
    });
    expect(cascade([shallow, deep], [1, 10], 0.7)).toEqual({
      accuracy: 2 / 3,
      mflops: (1 + 11 + 11) / 3,
      stops: [1 / 3, 2 / 3],
    });
  });

  test("runs everything at a threshold nobody reaches; the last rung answers though unsure", () => {
    expect(cascade([shallow, deep], [1, 10], Number.POSITIVE_INFINITY)).toEqual({
      accuracy: 1 / 3,
      mflops: 11,
      stops: [0, 1],
    });
  });

  test("the chosen threshold is the cheapest within half a point of the best", () => {
    // 1,000 samples; going on corrects those of confidence .5 (100) and .8 (4), so skipping the latter costs 0.4 points.
    const first = answers(
      ...repeat(896, [0.95, 1] as [number, 1]),
      ...repeat(100, [0.5, 0] as [number, 0]),
      ...repeat(4, [0.8, 0] as [number, 0]),
    );
    const second = answers(...repeat(1000, [0.99, 1] as [number, 1]));
    expect(chooseThreshold([first, second], [1, 10])).toBe(0.51);
    // With ten of them it costs a whole point.
    const more = answers(
      ...repeat(890, [0.95, 1] as [number, 1]),
      ...repeat(100, [0.5, 0] as [number, 0]),
      ...repeat(10, [0.8, 0] as [number, 0]),
    );
    expect(chooseThreshold([more, second], [1, 10])).toBe(0.81);
  });
});

describe("the fit of the evidence", () => {
  const application = ladder();
  const rungs = application.rungs.length;

  test("compares every entry of bins with enough test samples, and says which way it is off", () => {
    // Rung 0 promises .4, .5, .6, .8 in its lowest bin; on test all are right half of the time. Other rungs and bins
    // have too few samples.
    const half = Array.from({ length: 50 }, (_, i): [number, 0 | 1, number] => [0.3, i % 2 === 0 ? 1 : 0, 0]);
    const few = half.map(([c, right], i): [number, 0 | 1, number] => [c, right, i % 3]);
    const fit = evidenceFit(application, [answers(...half), ...repeat(rungs - 1, answers(...few))]);
    expect(fit.entries).toBe(rungs);
    expect(fit.meanDifference).toBeCloseTo((0.1 + 0 + 0.1 + 0.3) / 4, 4);
    expect(fit.worstDifference).toBeCloseTo(0.3, 4);
    expect(fit.meanExcess).toBeCloseTo((-0.1 + 0 + 0.1 + 0.3) / 4, 4);
    expect(fit.byChance).toBeGreaterThan(0.05);
    expect(fit.byChance).toBeLessThan(0.08);
  });

  test("leaves out bins with 49 samples", () => {
    const few = answers(...repeat(49, [0.3, 1, 0] as [number, 1, number]));
    expect(evidenceFit(application, repeat(rungs, few)).entries).toBe(0);
  });
});
