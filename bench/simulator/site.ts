/** The physics of one machine: how long a stage takes there, and what a pause or a death does to what runs. */
import type { EventQueue } from "./event-queue.ts";
import { lognormal, luck } from "./random.ts";

/** Chance of a request's stages: draws that belong to the request, whoever runs it. */
const STAGE_LUCK = 100;

/** How long a request's stage takes over its expectation, wherever it runs. */
export function stageFactor(seed: number, request: number, rung: number, sigma: number): number {
  return lognormal(luck(seed, request, STAGE_LUCK + rung), sigma);
}

export class Site {
  readonly #events: EventQueue;
  readonly #seed: number;
  readonly #sigma: number;
  /** Milliseconds per profile millisecond. */
  slowdown: number;
  #alive = true;
  #pausedUntil = 0;
  /** Sum of all pauses so far, those going on counted whole. */
  #pausesMs = 0;
  #busyMs = 0;

  /** `sigma`: log-deviation of a stage's time. */
  constructor(events: EventQueue, seed: number, slowdown: number, sigma: number) {
    this.#events = events;
    this.#seed = seed;
    this.#sigma = sigma;
    this.slowdown = slowdown;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get pausedUntil(): number {
    return this.#pausedUntil;
  }

  /** Milliseconds of computation begun so far. */
  get busyMs(): number {
    return this.#busyMs;
  }

  /** What runs is gone, and what it would have called back for. */
  kill(): void {
    this.#alive = false;
  }

  /** Nothing moves for so long; then what ran goes on where it was. */
  pause(ms: number): void {
    this.#pausedUntil = this.#events.now + ms;
    this.#pausesMs += ms;
  }

  /**
   * Runs `profileMs` of stage `rung` for these requests at once; calls `done` when it has ended. Each request has a factor
   * of its own at each stage, and a batch takes their mean: whose turn came first changes nothing.
   */
  compute(profileMs: number, requests: readonly number[], rung: number, done: () => void): void {
    let factor = 0;
    for (const request of requests) factor += stageFactor(this.#seed, request, rung, this.#sigma);
    const ms = (profileMs * this.slowdown * factor) / requests.length;
    this.#busyMs += ms;
    const before = this.#pausesMs;
    this.#events.after(ms, () => this.#ended(before, done));
  }

  /** Calls `act` once the machine moves: now, or when its pause is over; never, if it is dead by then. */
  whenAwake(act: () => void): void {
    if (!this.#alive) return;
    if (this.#pausedUntil <= this.#events.now) act();
    else this.#events.at(this.#pausedUntil, () => this.whenAwake(act));
  }

  #ended(before: number, done: () => void): void {
    if (!this.#alive) return;
    const lostMs = this.#pausesMs - before;
    if (lostMs > 0) this.#events.after(lostMs, () => this.#ended(before + lostMs, done));
    else done();
  }
}
