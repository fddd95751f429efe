/** Time as a computation may know it where the clock can stand still while code computes. */
import type { Clock } from "../../protocol/clock.ts";

/**
 * The clock's instant, or the last one plus the predicted cost of everything computed since, whichever is later.
 * Where the clock stands still, prediction carries it; where it runs, the clock overtakes whenever prediction was too
 * low. An arriving event is the honest instant and takes back what prediction had added too much.
 */
export class PlannedTime {
  readonly #clock: Clock;
  #at = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An event from outside has just arrived. */
  arrive(): number {
    return (this.#at = this.#clock.arrive());
  }

  now(): number {
    return (this.#at = Math.max(this.#at, this.#clock.now()));
  }

  /** A computation predicted at `ms` has just ended, begun when `now` was last asked. */
  spend(ms: number): void {
    this.#at = Math.max(this.#at + ms, this.#clock.now());
  }
}
