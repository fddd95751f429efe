/** Differences between two policies over the seeds that both have run, and how sure they are. */
import type { Random } from "../simulator/random.ts";

export type Interval = { low: number; high: number };

/** Below so many seeds an interval would say nothing. */
export const FEWEST_SEEDS = 3;
const DRAWS = 2000;
const OUTSIDE = 0.05;

/** `a` − `b` of every seed that both have, in the order of `a`. */
export function paired(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): number[] {
  return [...a].flatMap(([seed, value]) => {
    const other = b.get(seed);
    return other === undefined ? [] : [value - other];
  });
}

/** Throws RangeError on an empty sample. */
export function mean(sample: readonly number[]): number {
  if (sample.length === 0) throw new RangeError("an empty sample has no mean");
  return sample.reduce((sum, value) => sum + value, 0) / sample.length;
}

/** The 95 % percentile interval of the sample's mean (Efron, 1979); null below FEWEST_SEEDS. */
export function bootstrap(sample: readonly number[], random: Random): Interval | null {
  if (sample.length < FEWEST_SEEDS) return null;
  const means = Array.from({ length: DRAWS }, () => {
    let sum = 0;
    for (let i = 0; i < sample.length; i++) sum += sample[random.below(sample.length)] as number;
    return sum / sample.length;
  }).sort((a, b) => a - b);
  const at = (share: number): number => means[Math.round(share * (DRAWS - 1))] as number;
  return { low: at(OUTSIDE / 2), high: at(1 - OUTSIDE / 2) };
}

/** The interval leaves zero out. */
export function isSure(interval: Interval | null): boolean {
  return interval !== null && (interval.low > 0 || interval.high < 0);
}
