/**
 * What the answers of a ladder on held-out data say of it: accuracy, calibration, the cascade by one threshold, and how
 * far the evidence tables hold. Pure; `models/<application>/evaluation.json` holds its result. Shares are 0–1.
 */
import type { Application } from "../protocol/application.ts";

/** One rung's answers to the samples of a split, in order. */
export type RungAnswers = {
  /** Calibrated, 0–1. */
  confidence: Float64Array;
  /** Row of the rung's evidence table. */
  bin: Uint8Array;
  /** 1 where the answer is the label. */
  right: Uint8Array;
};

/** What a mean input gets and costs. */
export type CascadePoint = { accuracy: number; mflops: number };

export type Evaluation = {
  /** `fingerprint` of the ladder that was evaluated. */
  of: string;
  samples: { validation: number; test: number };
  rungs: {
    name: string;
    validation: number;
    test: number;
    /** Expected calibration error on test, with the temperature that ships. */
    calibrationError: number;
  }[];
  /** The cascade on test by one threshold for all exits: a sweep, not a choice. */
  sweep: (CascadePoint & { threshold: number })[];
  /** The threshold chosen on validation, read on test. */
  chosen: {
    threshold: number;
    validation: CascadePoint;
    test: CascadePoint;
    /** Share of the test samples that stop at each rung. */
    stops: number[];
  };
  /** Every rung run for every input: what the cascade saves from. */
  everyRung: CascadePoint;
  evidence: EvidenceFit;
};

/** P(right) as the tables promise it from validation against the shares on test, over all entries with enough samples. */
export type EvidenceFit = {
  entries: number;
  meanDifference: number;
  worstDifference: number;
  /** Mean of promised − found: above 0, the tables promise too much. */
  meanExcess: number;
  /** The mean difference if both splits were drawn from one source: what sampling alone explains. */
  byChance: number;
};

const CALIBRATION_BINS = 15;
/** Evidence rows with fewer test samples say too little to be compared. */
export const FEWEST_IN_BIN = 50;
/** How far below the best that any threshold reaches on validation the chosen, cheapest one may be. */
export const TOLERANCE_POINTS = 0.5;

/** From .3 in steps of .01, from .9 of .0025. */
export const THRESHOLDS: readonly number[] = [
  ...Array.from({ length: 60 }, (_, i) => (30 + i) / 100),
  ...Array.from({ length: 40 }, (_, i) => (9000 + 25 * i) / 10_000),
];

const rounded = (value: number, digits = 4): number => Number(value.toFixed(digits));

/** Half the width of the 95 % interval of a share of `samples`, as a share (normal approximation, samples independent). */
export function interval(share: number, samples: number): number {
  return 1.96 * Math.sqrt((share * (1 - share)) / samples);
}

/** Share of 1s; NaN of none. */
export function shareOf(flags: Uint8Array): number {
  return flags.reduce((sum, flag) => sum + flag, 0) / flags.length;
}

/** Mean |accuracy − confidence| over equal bins of confidence, weighted by their samples. */
export function calibrationError({ confidence, right }: RungAnswers, bins = CALIBRATION_BINS): number {
  const surplus = new Float64Array(bins);
  for (const [i, value] of confidence.entries()) {
    const bin = Math.min(Math.floor(value * bins), bins - 1);
    surplus[bin] = (surplus[bin] as number) + (right[i] as number) - value;
  }
  return surplus.reduce((sum, of) => sum + Math.abs(of), 0) / confidence.length;
}

/**
 * Rungs run in ladder order until one's confidence reaches `threshold`; the last answers whatever remains. An input pays
 * for every stage that it ran: `costs` are the stages' own MFLOPs.
 */
export function cascade(
  answers: readonly RungAnswers[],
  costs: readonly number[],
  threshold: number,
): CascadePoint & { stops: number[] } {
  const samples = answers[0]?.right.length ?? 0;
  const stops = answers.map(() => 0);
  const last = answers.length - 1;
  let right = 0;
  let mflops = 0;
  for (let i = 0; i < samples; i++) {
    let rung = 0;
    mflops += costs[0] as number;
    while (rung < last && (answers[rung]?.confidence[i] as number) < threshold) mflops += costs[++rung] as number;
    right += answers[rung]?.right[i] as number;
    stops[rung] = (stops[rung] as number) + 1;
  }
  return { accuracy: right / samples, mflops: mflops / samples, stops: stops.map((count) => count / samples) };
}

/** The cheapest threshold that keeps within TOLERANCE_POINTS of the best of all thresholds on these answers. */
export function chooseThreshold(answers: readonly RungAnswers[], costs: readonly number[]): number {
  const points = THRESHOLDS.map((threshold) => ({ threshold, ...cascade(answers, costs, threshold) }));
  const least = Math.max(...points.map(({ accuracy }) => accuracy)) - TOLERANCE_POINTS / 100;
  const good = points.filter(({ accuracy }) => accuracy >= least);
  return good.reduce((best, point) => (point.mflops < best.mflops ? point : best)).threshold;
}

/** How well the evidence tables foretell `test`. */
export function evidenceFit(application: Application, test: readonly RungAnswers[]): EvidenceFit {
  const fit = { entries: 0, meanDifference: 0, worstDifference: 0, meanExcess: 0, byChance: 0 };
  for (const [exit, { evidence }] of application.rungs.entries()) {
    for (const [bin, row] of evidence.entries()) {
      const inside = [...(test[exit]?.bin.keys() ?? [])].filter((i) => test[exit]?.bin[i] === bin);
      if (inside.length < FEWEST_IN_BIN) continue;
      for (const [rung, promised] of row.right.entries()) {
        const found = inside.reduce((sum, i) => sum + (test[rung]?.right[i] as number), 0) / inside.length;
        const pooled = (promised * row.count + found * inside.length) / (row.count + inside.length);
        fit.entries++;
        fit.meanDifference += Math.abs(promised - found);
        fit.worstDifference = Math.max(fit.worstDifference, Math.abs(promised - found));
        fit.meanExcess += promised - found;
        // The mean of |normal| is √(2/π) of its deviation.
        fit.byChance += Math.sqrt((2 / Math.PI) * pooled * (1 - pooled) * (1 / row.count + 1 / inside.length));
      }
    }
  }
  const mean = (sum: number): number => (fit.entries > 0 ? rounded(sum / fit.entries) : 0);
  return {
    entries: fit.entries,
    meanDifference: mean(fit.meanDifference),
    worstDifference: rounded(fit.worstDifference),
    meanExcess: mean(fit.meanExcess),
    byChance: mean(fit.byChance),
  };
}

/** All of it, rounded as it is stored. */
export function evaluate(
  application: Application,
  of: string,
  validation: readonly RungAnswers[],
  test: readonly RungAnswers[],
): Evaluation {
  const costs = application.rungs.map(({ mflops }) => mflops.own);
  const point = ({ accuracy, mflops }: CascadePoint): CascadePoint => ({
    accuracy: rounded(accuracy),
    mflops: Number(mflops.toPrecision(4)),
  });
  const threshold = chooseThreshold(validation, costs);
  const onTest = cascade(test, costs, threshold);
  return {
    of,
    samples: { validation: validation[0]?.right.length ?? 0, test: test[0]?.right.length ?? 0 },
    rungs: application.rungs.map(({ name }, rung) => ({
      name,
      validation: rounded(shareOf(validation[rung]?.right ?? new Uint8Array())),
      test: rounded(shareOf(test[rung]?.right ?? new Uint8Array())),
      calibrationError: rounded(calibrationError(test[rung] as RungAnswers)),
    })),
    sweep: THRESHOLDS.map((at) => ({ threshold: at, ...point(cascade(test, costs, at)) })),
    chosen: {
      threshold,
      validation: point(cascade(validation, costs, threshold)),
      test: point(onTest),
      stops: onTest.stops.map((share) => rounded(share, 3)),
    },
    everyRung: point(cascade(test, costs, Number.POSITIVE_INFINITY)),
    evidence: evidenceFit(application, test),
  };
}
