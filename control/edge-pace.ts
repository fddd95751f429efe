/**
 * How much slower than its profile an inference isolate runs. Its clock stands still while it computes, so it cannot time a
 * stage; but where it was never idle between two arrivals, the time between them is what the stages in between took.
 * Until it has seen enough of that it goes by what controllers, who measure it from outside, say with every plan.
 */

/** What one word weighs once enough have been heard. */
const GAIN = 1 / 16;
/** The range of what a controller may believe. */
const RANGE: [number, number] = [0.1, 30];
/** Busy milliseconds that a measurement must rest on, and with what time constant older ones fade. */
const ENOUGH_MS = 50;
const FADE_MS = 2000;

/** An honest instant, and the profile work done by then. */
type Mark = { readonly at: number; readonly doneMs: number };

export class EdgePace {
  #logarithm = 0;
  #heard = 1;
  #elapsedMs = 0;
  #workMs = 0;
  #mark: Mark | null = null;

  get slowdown(): number {
    return this.#elapsedMs >= ENOUGH_MS ? clamped(this.#elapsedMs / this.#workMs) : Math.exp(this.#logarithm);
  }

  /**
   * A controller's word. What was told is kept as a geometric mean, the last few dozen words counting most: one
   * controller far off moves it by a few percent, and 1 counts as the first word, because a controller that has measured
   * nothing says so too.
   */
  tell(slowdown: number): void {
    if (!Number.isFinite(slowdown)) return;
    this.#heard++;
    this.#logarithm += (Math.log(clamped(slowdown)) - this.#logarithm) * Math.max(GAIN, 1 / this.#heard);
  }

  /** A call has arrived at `now`, when `doneMs` of profile work had been done since the isolate began. */
  arrived(now: number, doneMs: number): void {
    const { at, doneMs: before } = this.#mark ?? { at: now, doneMs };
    this.#mark = { at: now, doneMs };
    const elapsedMs = now - at;
    if (!(elapsedMs > 0) || !(doneMs > before)) return;
    const kept = Math.exp(-elapsedMs / FADE_MS);
    this.#elapsedMs = this.#elapsedMs * kept + elapsedMs;
    this.#workMs = this.#workMs * kept + (doneMs - before);
  }

  /** Nothing is left to run: the time to the next arrival is no measure of anything. */
  idle(): void {
    this.#mark = null;
  }
}

function clamped(slowdown: number): number {
  return Math.min(RANGE[1], Math.max(RANGE[0], slowdown));
}
