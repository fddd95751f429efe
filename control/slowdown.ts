/**
 * How much slower a machine is than its own profile: the ratio of sums, measured over profiled milliseconds, with old
 * samples fading. Sums, so that the fixed cost around a tiny stage does not pass for slowness of a large one. The
 * figures are an agent's own, honest at any size. A sample's ratio is clamped, so that one wild or lying figure makes
 * a machine look neither free nor dead.
 */
const FADE = 0.9;
/** What the prior of 1 weighs, in profiled milliseconds. */
const PRIOR_MS = 20;
const MIN = 1 / 16;
const MAX = 16;

export class Slowdown {
  #tookMs = PRIOR_MS;
  #profileMs = PRIOR_MS;

  /** 1 until the first sample; always between 1/16 and 16. */
  get value(): number {
    return this.#tookMs / this.#profileMs;
  }

  /** `tookMs` measured for work whose profile says `profileMs`. Zero on either side says nothing. */
  sample(tookMs: number, profileMs: number): void {
    if (!(tookMs > 0) || !(profileMs > 0)) return;
    const ratio = Math.min(MAX, Math.max(MIN, tookMs / profileMs));
    this.#tookMs = this.#tookMs * FADE + ratio * profileMs;
    this.#profileMs = this.#profileMs * FADE + profileMs;
  }

  reset(): void {
    this.#tookMs = this.#profileMs = PRIOR_MS;
  }
}
