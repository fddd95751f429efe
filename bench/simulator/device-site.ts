/** A user's device: one thread that runs the edge's stages at its own pace, most urgent work first, whole stages at a time. */
import { rungAt } from "../../control/ladder.ts";
import { Slowdown } from "../../control/slowdown.ts";
import type { EventQueue } from "./event-queue.ts";
import { Site } from "./site.ts";
import type { Offered } from "./workload.ts";

/** `pace`: milliseconds per reference millisecond of the edge, as the device has measured itself. */
export type DeviceSpec = { pace: number };

type Waiting = { dueAt: number; workMs: number; begin: () => void };

export class DeviceSite {
  readonly #events: EventQueue;
  readonly #pace: number;
  readonly #site: Site;
  readonly #slowdown = new Slowdown();
  /** Most urgent first. */
  readonly #waiting: Waiting[] = [];
  #busy = false;
  /** What runs is predicted to be over by then. */
  #freeAt = 0;

  constructor(events: EventQueue, seed: number, { pace }: DeviceSpec, sigma: number) {
    this.#events = events;
    this.#pace = pace;
    this.#site = new Site(events, seed, 1, sigma);
  }

  /** Milliseconds of computation begun so far. */
  get busyMs(): number {
    return this.#site.busyMs;
  }

  /** Expected milliseconds per reference millisecond. */
  get slowdown(): number {
    return this.#pace * this.#slowdown.mean;
  }

  /** Upper end of a stage's time over its expectation. */
  get tail(): number {
    return this.#slowdown.upper(this.#events.now) / this.#slowdown.mean;
  }

  /** Predicted milliseconds until work due at `dueAt` would begin. */
  aheadMs(dueAt: number): number {
    const waiting = this.#waiting.reduce((sum, one) => (one.dueAt <= dueAt ? sum + one.workMs : sum), 0);
    return waiting + (this.#busy ? Math.max(0, this.#freeAt - this.#events.now) : 0);
  }

  /** `begin` is called when the thread is this work's; it must `release` it. `workMs`: how long that is expected to take. */
  enqueue(dueAt: number, workMs: number, begin: () => void): void {
    let at = this.#waiting.length;
    while (at > 0 && (this.#waiting[at - 1] as Waiting).dueAt > dueAt) at--;
    this.#waiting.splice(at, 0, { dueAt, workMs, begin });
    this.#next();
  }

  /** Of who holds the thread: runs the stage of `rung`. `restMs`: expected until the thread is released. */
  compute(request: Offered, rung: number, restMs: number, done: () => void): void {
    const profileMs = this.#pace * rungAt(request.user.application, rung).referenceMs.edge;
    const beganAt = this.#events.now;
    this.#freeAt = beganAt + restMs;
    this.#site.compute(profileMs, [request.id], rung, () => {
      this.#slowdown.sample(this.#events.now - beganAt, profileMs, this.#events.now);
      done();
    });
  }

  release(): void {
    this.#busy = false;
    this.#next();
  }

  #next(): void {
    if (this.#busy) return;
    const next = this.#waiting.shift();
    if (!next) return;
    this.#busy = true;
    this.#freeAt = this.#events.now + next.workMs;
    next.begin();
  }
}
