/** A user's quota as a token bucket: so many requests a second on average, a second's worth at once. */
export class Quota {
  #tokens = Number.NaN;
  #at = 0;

  /** Takes one token; else says in how many milliseconds there will be one. `perSecond` null: no limit. */
  take(perSecond: number | null, now: number): { ok: true } | { ok: false; retryAfterMs: number } {
    if (perSecond === null) return { ok: true };
    const burst = Math.max(1, perSecond);
    const passedMs = Math.max(0, now - this.#at);
    this.#tokens = Number.isNaN(this.#tokens) ? burst : Math.min(burst, this.#tokens + (perSecond * passedMs) / 1000);
    this.#at = now;
    if (this.#tokens < 1) return { ok: false, retryAfterMs: Math.ceil(((1 - this.#tokens) / perSecond) * 1000 - 1e-6) };
    this.#tokens--;
    return { ok: true };
  }
}
