/**
 * What a gateway believes its node is doing: the agent's queue as it would be if the node kept to its profile times
 * its slow-down, and how long the way there and back takes. Corrected by every answer.
 */
import type { NodeRegistration } from "../protocol/fleet.ts";
import { MAX_IN_FLIGHT } from "../protocol/limits.ts";
import { Lanes } from "./lanes.ts";
import type { Flight } from "./ledger.ts";
import type { RungWork } from "./node-work.ts";
import { rungWork } from "./node-work.ts";
import { Slowdown } from "./slowdown.ts";

const LINK_WEIGHT = 0.1;
const MAX_LINK_MS = 1000;

/** The agent's own figures of one answer, and the exit it is of. */
export type Measured = { rung: number; queueMs: number; computeMs: number };

export class NodeModel {
  readonly #slowdown = new Slowdown();
  #lanes = new Lanes<Flight>(1, MAX_IN_FLIGHT);
  #registration: NodeRegistration | null;
  #linkMs = 1;

  constructor(registration: NodeRegistration | null) {
    this.#registration = registration;
    this.reset();
  }

  get slowdown(): number {
    return this.#slowdown.value;
  }

  /** There and back, without queue and compute. */
  get linkMs(): number {
    return this.#linkMs;
  }

  /** The node said what it is. `busyMs`: work it still has from before. A new start of the agent begins with a fresh profile. */
  register(registration: NodeRegistration, busyMs: number, now: number): void {
    if (registration.bootId !== this.#registration?.bootId) this.#slowdown.reset();
    this.#registration = registration;
    this.reset();
    this.#lanes.occupyAll(now, busyMs);
  }

  /** Nothing that was sent counts any more. */
  reset(): void {
    this.#lanes = new Lanes<Flight>(this.#registration?.concurrency ?? 1, MAX_IN_FLIGHT);
  }

  predictedMs(work: RungWork): number {
    return work.medianMs * this.#slowdown.value;
  }

  /** The deepest of these rungs that passes the demand test, and the lane that has room for it. */
  admit(
    id: string,
    possible: readonly RungWork[],
    deadlineAt: number,
    now: number,
  ): { work: RungWork; lane: number } | null {
    this.#advance(now);
    for (const work of possible) {
      const lane = this.#lanes.admits({ id, deadlineAt, workMs: this.predictedMs(work) }, now);
      if (lane >= 0) return { work, lane };
    }
    return null;
  }

  insert(flight: Flight, lane: number, now: number): void {
    this.#lanes.insert(lane, flight);
    this.#advance(now);
  }

  /** The agent has answered or refused the job, and holds `backlogMs` of work by its own account. */
  ended(flight: Flight, backlogMs: number, now: number): void {
    if (!this.#lanes.removeWaiting(flight.id)) this.#lanes.finish(flight.id, now);
    this.#advance(now);
    this.#lanes.atLeast(backlogMs, now);
  }

  /** Nobody waits for the job any more; a stage that runs is not interrupted by that. */
  dropped(flight: Flight, now: number): void {
    if (!this.#lanes.removeWaiting(flight.id)) this.#lanes.abandon(flight.id);
    this.#advance(now);
  }

  /** How fast the node is, and what the way takes. A journey of zero says only that the clock did not tick. */
  learn(flight: Flight, measured: Measured, now: number): void {
    const { rung, queueMs, computeMs } = measured;
    const ran = this.#registration && rungWork(this.#registration, flight.application, flight.from, rung);
    if (ran) this.#slowdown.sample(computeMs, ran.medianMs);
    const elapsed = now - flight.sentAt;
    if (!(elapsed > 0)) return;
    const way = Math.min(MAX_LINK_MS, Math.max(0, elapsed - queueMs - computeMs));
    this.#linkMs += LINK_WEIGHT * (way - this.#linkMs);
  }

  backlogMs(now: number): number[] {
    return this.#lanes.backlogMs(now);
  }

  /** The node works through its queue. */
  #advance(now: number): void {
    while (this.#lanes.startNext(now));
  }
}
