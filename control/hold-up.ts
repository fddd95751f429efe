/**
 * How long a message may have lain before a machine with one thread could look at it. A message tells how much time is
 * left when it is sent; what comes in during a stage is seen when the stage has ended, and its time has run on unseen.
 */

/** Events are let in right after a stage; what is seen later than this has just come. */
const RIGHT_AFTER_MS = 1;

export class HoldUp {
  #beganAt = Number.NEGATIVE_INFINITY;
  #endedAt = Number.NEGATIVE_INFINITY;

  /** A stage has run from `beganAt` to `endedAt`. */
  stage(beganAt: number, endedAt: number): void {
    this.#beganAt = beganAt;
    this.#endedAt = endedAt;
  }

  /** The most that a message seen at `now` may have waited: the whole stage, where it is seen right after one. */
  mostMs(now: number): number {
    return now - this.#endedAt <= RIGHT_AFTER_MS ? Math.max(0, now - this.#beganAt) : 0;
  }
}
