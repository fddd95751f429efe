/**
 * How much slower a machine is than its own profile: one factor for all rungs, its mean and its upper end, learnt from
 * completions by a scalar Kalman filter. A measurement of any rung corrects the prediction of all. O(1) a sample.
 *
 * Asymmetric: a rise is believed at the second sample in a row, a fall at the fourth, and the upper end remembers what
 * was slow for up to 30 seconds. A single outlier moves neither the mean by more than the spread allows nor the upper
 * end; ratios are clamped, so that one wild or lying figure makes a machine look neither free nor dead.
 */

/** Q: how far the true factor drifts, variance per completion, or per second without one. */
const DRIFT = 1e-3;
/** P before the first sample: the profile was measured on a machine with nothing else to do. */
const PRIOR_VARIANCE = 0.01;
/** R before the first sample. With P it puts the upper end at 1.37, between the 1.3 and 1.6 taken where nothing is known. */
const PRIOR_NOISE = 0.04;
/** Least R: times that repeat exactly would otherwise close the filter for good. */
const LEAST_NOISE = 1e-4;
/** Weight of one residual in R: an average over about 32. */
const NOISE_WEIGHT = 1 / 32;
/** z: the 95th percentile of a normal distribution. */
const UPPER_DEVIATIONS = 1.64;
/** A residual counts up to this many deviations; several in a row beyond it are a new level. */
const OUTLIER_DEVIATIONS = 3;
const RISE_AFTER = 2;
const FALL_AFTER = 4;
/** What any run may take longer or shorter whatever its size (scheduling, a thread hop): of a tiny stage it is most of the time. */
const JITTER_MS = 0.1;
/** The ring behind the upper end: the last samples, none older than this, believed from so many on. */
const RING = 32;
const RING_MS = 30_000;
const ENOUGH = 8;
const MIN = 1 / 16;
const MAX = 16;

/** The upper end of a machine nothing has been measured of. */
export const FRESH_UPPER = 1 + UPPER_DEVIATIONS * Math.sqrt(PRIOR_VARIANCE + PRIOR_NOISE);

export class Slowdown {
  #mean = 1;
  #variance = PRIOR_VARIANCE;
  #noise = PRIOR_NOISE;
  #sampledAt: number | null = null;
  /** Outliers in a row, up or down. */
  #streak = { sign: 0, count: 0 };
  /** The last samples in the order they came. */
  #ring: { ratio: number; at: number }[] = [];
  /** The ring's upper end, while it holds. */
  #ringUpper = { value: 0, until: Number.NEGATIVE_INFINITY };

  /** Expected time over profile. 1 until the first sample; always between 1/16 and 16. */
  get mean(): number {
    return this.#mean;
  }

  /** The 95th percentile of time over profile; never below the mean. */
  upper(now: number): number {
    const deviation = Math.sqrt(this.#variance + this.#noise);
    return Math.min(MAX, Math.max(this.#mean + UPPER_DEVIATIONS * deviation, this.#upperOfRing(now)));
  }

  /** `tookMs` measured for work whose profile says `profileMs`. Zero on either side says nothing. */
  sample(tookMs: number, profileMs: number, now: number): void {
    if (!(tookMs > 0) || !(profileMs > 0)) return;
    const ratio = clamped(tookMs / profileMs);
    const idleS = this.#sampledAt === null ? 0 : (now - this.#sampledAt) / 1000;
    this.#sampledAt = now;
    this.#remember(clamped((tookMs - JITTER_MS) / profileMs), now);

    this.#variance += DRIFT * Math.max(1, idleS);
    const jitter = (JITTER_MS / profileMs) ** 2;
    const residual = ratio - this.#mean;
    const limit = OUTLIER_DEVIATIONS * Math.sqrt(this.#variance + this.#noise + jitter);
    const newLevel = this.#isNewLevel(Math.abs(residual) > limit ? Math.sign(residual) : 0);
    const counted = newLevel ? residual : Math.min(limit, Math.max(-limit, residual));
    if (newLevel) this.#variance = residual * residual;
    else {
      const noise = counted * counted - this.#variance - jitter;
      this.#noise = Math.max(LEAST_NOISE, this.#noise + NOISE_WEIGHT * (noise - this.#noise));
    }
    const gain = this.#variance / (this.#variance + this.#noise + jitter);
    this.#mean = clamped(this.#mean + gain * counted);
    this.#variance *= 1 - gain;
  }

  /** As before the first sample. */
  reset(): void {
    this.#mean = 1;
    this.#variance = PRIOR_VARIANCE;
    this.#noise = PRIOR_NOISE;
    this.#sampledAt = null;
    this.#streak = { sign: 0, count: 0 };
    this.#ring = [];
    this.#ringUpper = { value: 0, until: Number.NEGATIVE_INFINITY };
  }

  /** Counts outliers in a row; `sign` is 0 for a sample that is none. */
  #isNewLevel(sign: number): boolean {
    this.#streak = { sign, count: sign !== 0 && sign === this.#streak.sign ? this.#streak.count + 1 : 1 };
    const needed = sign > 0 ? RISE_AFTER : FALL_AFTER;
    if (sign === 0 || this.#streak.count < needed) return false;
    this.#streak = { sign: 0, count: 0 };
    return true;
  }

  #remember(ratio: number, at: number): void {
    this.#ring.push({ ratio, at });
    if (this.#ring.length > RING) this.#ring.shift();
    this.#ringUpper.until = Number.NEGATIVE_INFINITY;
  }

  /** 0 while it holds too little. Rounded down in rank, so that one sample alone never is the upper end. */
  #upperOfRing(now: number): number {
    if (now <= this.#ringUpper.until) return this.#ringUpper.value;
    while (this.#ring[0] && now - this.#ring[0].at > RING_MS) this.#ring.shift();
    const count = this.#ring.length;
    const value = count < ENOUGH ? 0 : belowLargest(this.#ring, count - 1 - Math.floor(0.95 * (count - 1)));
    this.#ringUpper = { value, until: (this.#ring[0]?.at ?? now) + RING_MS };
    return value;
  }
}

/** The ratio that just so many of the samples are at or above, itself left out. Of a ring that is few. */
function belowLargest(samples: readonly { ratio: number }[], above: number): number {
  /** The largest so far, in descending order. */
  const largest: number[] = [];
  for (const { ratio } of samples) {
    if (largest.length > above && ratio <= (largest[above] as number)) continue;
    let at = Math.min(largest.length, above);
    for (; at > 0 && (largest[at - 1] as number) < ratio; at--) largest[at] = largest[at - 1] as number;
    largest[at] = ratio;
  }
  return largest[above] as number;
}

function clamped(ratio: number): number {
  return Math.min(MAX, Math.max(MIN, ratio));
}
