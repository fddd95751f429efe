/**
 * Chance that can be had again: one stream per purpose, named, all from one seed. What one purpose draws moves no other,
 * so a change of policy leaves arrivals, inputs and journeys as they were. `luck` is chance without a stream: a draw
 * that belongs to a thing (a request, a journey) and is the same in whatever order things happen.
 */

/** The 32-bit hash of a text (FNV-1a), finished so that similar texts differ in every bit. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return mixed(hash);
}

/** A bijection of 32-bit numbers that changes about half the bits for each bit changed (Stafford's variant of Murmur3's finaliser). */
function mixed(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Uniform in (0, 1), from numbers that name the draw. */
export function luck(seed: number, a: number, b: number): number {
  const bits = mixed(mixed(mixed(seed ^ 0x9e3779b9) ^ a) + Math.imul(b + 1, 0x85ebca6b));
  return (bits + 0.5) / 2 ** 32;
}

/** A factor with median 1 and the given log-deviation, of one uniform draw. */
export function lognormal(uniform: number, sigma: number): number {
  return Math.exp(sigma * normalQuantile(uniform));
}

/** Inverse of the standard normal distribution; Acklam's approximation, relative error below 1.2e-9. */
export function normalQuantile(p: number): number {
  const low = 0.02425;
  if (p < low) return tail(Math.sqrt(-2 * Math.log(p)));
  if (p > 1 - low) return -tail(Math.sqrt(-2 * Math.log(1 - p)));
  const q = p - 0.5;
  const r = q * q;
  return (
    ((((((-39.69683028665376 * r + 220.9460984245205) * r - 275.9285104469687) * r + 138.357751867269) * r -
      30.66479806614716) *
      r +
      2.506628277459239) *
      q) /
    (((((-54.47609879822406 * r + 161.5858368580409) * r - 155.6989798598866) * r + 66.80131188771972) * r -
      13.28068155288572) *
      r +
      1)
  );
}

function tail(q: number): number {
  return (
    (((((-0.007784894002430293 * q - 0.3223964580411365) * q - 2.400758277161838) * q - 2.549732539343734) * q +
      4.374664141464968) *
      q +
      2.938163982698783) /
    ((((0.007784695709041462 * q + 0.3224671290700398) * q + 2.445134137142996) * q + 3.754408661907416) * q + 1)
  );
}

/** A stream of draws: sfc32 (Doty-Humphrey), 128 bits of state. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d = 1;

  /** `purpose` names the stream: `arrivals`, `network`, …, with whatever it is of. */
  constructor(seed: number, purpose: string) {
    const name = hashText(purpose);
    [this.#a, this.#b, this.#c] = [mixed(seed), name, mixed(seed ^ name)];
    for (let i = 0; i < 12; i++) this.#bits();
  }

  /** In (0, 1). */
  uniform(): number {
    return (this.#bits() + 0.5) / 2 ** 32;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.uniform();
  }

  /** A whole number below `count`. */
  below(count: number): number {
    return Math.floor(this.uniform() * count);
  }

  exponential(mean: number): number {
    return -mean * Math.log(this.uniform());
  }

  normal(): number {
    return normalQuantile(this.uniform());
  }

  /** Gamma by Marsaglia and Tsang (2000); below shape 1 by boosting shape + 1. */
  gamma(shape: number, scale: number): number {
    if (shape < 1) return this.gamma(shape + 1, scale) * this.uniform() ** (1 / shape);
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      if (v > 0 && Math.log(this.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v * scale;
    }
  }

  #bits(): number {
    const sum = (this.#a + this.#b + this.#d++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }
}
