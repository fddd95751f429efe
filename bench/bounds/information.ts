/**
 * The information bound: how well a scheduler could do that knows all arrivals and times but of the answers only what
 * confidences tell. It is the clairvoyant programme with P(right at the option's rung | confidences of all rungs) as the
 * value of each option, and a policy's score beside it is the sum of the same figures over its answers in time.
 *
 * So scored, no policy passes the bound, however well the probabilities are estimated, because both use the same ones.
 * What the estimate decides is whether the score means what it says: whether it sums to the answers that were right. So
 * it is fitted on the validation split, and `calibration` on the test split belongs beside every figure made with it.
 *
 * **Model.** For each rung one logistic regression on the evidence rows of all rungs: the log-odds are a sum of one
 * weight per rung and row. With 8 rows and 4 or 5 rungs the joint table has thousands of cells, most of them empty in
 * 5,000 samples, and its estimates would be noise. Weights are fitted jointly, so exits that say the same are not
 * counted twice (as multiplying their odds would), rows need no order or shape, and at the optimum the mean probability
 * among samples of any row of any rung is their share of right answers, but for the penalty. That penalty (ridge) holds
 * rows seen rarely near the average; its size is the one that predicts held-out fifths of the validation split best.
 */
import { type Logistic, type Sample, fitLogistic, logLoss, probability } from "./logistic.ts";

/** Per sample and rung: the row of the rung's evidence table, and whether its answer was right. */
export type Recorded = {
  rows: number;
  bin(row: number, rung: number): number;
  right(row: number, rung: number): boolean;
};

const PENALTIES = [0.3, 1, 3, 10, 30];
const FOLDS = 5;

export class Expectation {
  readonly #offsets: readonly number[];
  readonly #models: readonly Logistic[];
  /** Of the validation split, by rung. */
  readonly penalties: readonly number[];

  /** `bins`: rows of each rung's evidence table. Throws RangeError when nothing was recorded. */
  constructor(validation: Recorded, bins: readonly number[]) {
    const features = bins.reduce((a, b) => a + b, 0);
    this.#offsets = bins.map((_, rung) => bins.slice(0, rung).reduce((a, b) => a + b, 0));
    const fits = bins.map((_, rung) => fitPenalised(this.#samples(validation, rung), features));
    this.penalties = fits.map(({ penalty }) => penalty);
    this.#models = fits.map(({ model }) => model);
  }

  /** P(right at `rung` | evidence rows of all rungs). */
  right(bins: readonly number[], rung: number): number {
    return probability(this.#models[rung] as Logistic, this.#features(bins));
  }

  /** The same for a recorded sample. */
  rightOf(recorded: Recorded, row: number, rung: number): number {
    return this.right(
      this.#offsets.map((_, exit) => recorded.bin(row, exit)),
      rung,
    );
  }

  #features(bins: readonly number[]): number[] {
    return bins.map((bin, exit) => (this.#offsets[exit] as number) + bin);
  }

  #samples(recorded: Recorded, rung: number): Sample[] {
    return Array.from({ length: recorded.rows }, (_, row) => ({
      on: this.#features(this.#offsets.map((__, exit) => recorded.bin(row, exit))),
      yes: recorded.right(row, rung),
    }));
  }
}

export type Calibration = {
  /** Means over the samples; a score in expectations is off by their difference. */
  expected: number;
  observed: number;
  /** Mean over tenths of the samples, by expectation, of |expected − observed|. */
  error: number;
  /** Nats. */
  logLoss: number;
};

/** How the expectations of a rung fare on samples they were not fitted to. */
export function calibration(expectation: Expectation, recorded: Recorded, rung: number): Calibration {
  const samples = Array.from({ length: recorded.rows }, (_, row) => ({
    p: expectation.rightOf(recorded, row, rung),
    yes: Number(recorded.right(row, rung)),
  })).sort((a, b) => a.p - b.p);
  const mean = (part: readonly (typeof samples)[number][], of: (sample: (typeof samples)[number]) => number): number =>
    part.reduce((sum, sample) => sum + of(sample), 0) / part.length;
  const tenths = Array.from({ length: 10 }, (_, i) =>
    samples.slice(Math.floor((i * samples.length) / 10), Math.floor(((i + 1) * samples.length) / 10)),
  ).filter((part) => part.length > 0);
  const off = tenths.map((part) => part.length * Math.abs(mean(part, ({ p, yes }) => p - yes)));
  return {
    expected: mean(samples, ({ p }) => p),
    observed: mean(samples, ({ yes }) => yes),
    error: off.reduce((a, b) => a + b, 0) / samples.length,
    logLoss: mean(samples, ({ p, yes }) => -Math.log(Math.max(1e-12, yes ? p : 1 - p))),
  };
}

function fitPenalised(samples: readonly Sample[], features: number): { model: Logistic; penalty: number } {
  const losses = PENALTIES.map((penalty) => {
    let sum = 0;
    for (let fold = 0; fold < FOLDS; fold++) {
      const held = samples.filter((_, i) => i % FOLDS === fold);
      const rest = samples.filter((_, i) => i % FOLDS !== fold);
      if (held.length > 0 && rest.length > 0) sum += held.length * logLoss(fitLogistic(rest, features, penalty), held);
    }
    return sum;
  });
  const penalty = PENALTIES[losses.indexOf(Math.min(...losses))] as number;
  return { model: fitLogistic(samples, features, penalty), penalty };
}
