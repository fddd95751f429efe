/**
 * Circuit breaker of one node. A node that lets several jobs in a row run out of time is alive but not well (a runtime
 * that hangs, a machine that swaps): sending it more only costs their callers time. It is left alone for a moment,
 * then tried with one job at a time until one is answered. Refusals by the agent neither open nor close it: an agent
 * whose compute thread hangs still refuses.
 */

/** Timeouts in a row that open it: fewer happen to a healthy node in a burst of tight deadlines. */
export const OPEN_AFTER = 5;
/** How long nothing is sent: longer than a pause for garbage, shorter than a person's patience. */
export const OPEN_MS = 1000;

export class Breaker {
  #timeouts = 0;
  #openUntil = Number.NEGATIVE_INFINITY;
  /** The job out on trial. */
  #trial: string | null = null;

  /** May a job be sent now? */
  allows(now: number): boolean {
    return !this.#tripped || (now >= this.#openUntil && this.#trial === null);
  }

  /** A job was sent. */
  sent(id: string): void {
    if (this.#tripped) this.#trial = id;
  }

  /** The node answered a job. */
  answered(): void {
    this.#timeouts = 0;
    this.#trial = null;
  }

  /** A job's time ran out without a word from the node, or its connection was lost with it. */
  timedOut(id: string, now: number): void {
    this.#timeouts++;
    if (this.#tripped) this.#openUntil = now + OPEN_MS;
    this.ended(id);
  }

  /** A job ended in any other way: refused, cancelled, evicted. */
  ended(id: string): void {
    if (this.#trial === id) this.#trial = null;
  }

  get #tripped(): boolean {
    return this.#timeouts >= OPEN_AFTER;
  }
}
