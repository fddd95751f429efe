/**
 * The thresholds of the token-bucket offloading problem (SEC 2021; EVALUATION §5.13), solved by value iteration: with n
 * units in the bucket, offload where the gain is at least θ[n]. Each request brings `income` units, an offload costs
 * `cost`, the bucket holds `depth` and starts full.
 */
export type TokenProblem = {
  /** Gains of offloading, in accuracy, and how often each occurs. */
  gains: readonly { gain: number; share: number }[];
  income: number;
  cost: number;
  depth: number;
};

const DISCOUNT = 0.9999;
const MOST_SWEEPS = 4000;
/** Values matter only in their differences: when those stand still, so do the thresholds. */
const STILL = 1e-7;

/** θ by bucket content 0…depth; ∞ where the bucket holds too little. */
export function tokenThresholds({ gains, income, cost, depth }: TokenProblem): number[] {
  let [values, swept] = [new Float64Array(depth + 1), new Float64Array(depth + 1)];
  const next = (n: number): number => Math.min(depth, n + income);
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    let least = Number.POSITIVE_INFINITY;
    let most = Number.NEGATIVE_INFINITY;
    for (let n = 0; n <= depth; n++) {
      const stay = DISCOUNT * (values[next(n)] as number);
      const go = n >= cost ? DISCOUNT * (values[next(n - cost)] as number) : Number.NEGATIVE_INFINITY;
      let value = 0;
      for (const { gain, share } of gains) value += share * Math.max(stay, gain + go);
      swept[n] = value;
      least = Math.min(least, value - (values[n] as number));
      most = Math.max(most, value - (values[n] as number));
    }
    [values, swept] = [swept, values];
    if (most - least < STILL) break;
  }
  return Array.from(values, (_, n) =>
    n < cost ? Number.POSITIVE_INFINITY : DISCOUNT * ((values[next(n)] as number) - (values[next(n - cost)] as number)),
  );
}
