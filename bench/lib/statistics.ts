/** Order statistics of a sample. */

/** The value below which the share `q` (0–1) of the sample lies, by the nearest rank. Throws RangeError on an empty sample. */
export function quantile(sample: number[], q: number): number {
  const sorted = [...sample].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
  if (value === undefined) throw new RangeError("an empty sample has no quantiles");
  return value;
}

export const median = (sample: number[]): number => quantile(sample, 0.5);
