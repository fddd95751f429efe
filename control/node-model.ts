/**
 * What a gateway believes its node is doing: the agent's queue as it would be if the node kept to its profile times
 * its slow-down, and how long the way there and back takes. Corrected by every answer. On it admission is decided:
 * who fits, and who makes room when nobody does.
 */
import type { Claim, NodeRegistration } from "../protocol/fleet.ts";
import { MAX_IN_FLIGHT } from "../protocol/limits.ts";
import type { FairShare } from "./fair-share.ts";
import { Lanes } from "./lanes.ts";
import { deeperDueAt, waitsFor } from "./patience.ts";
import type { Flight } from "./ledger.ts";
import { NodeSpeed } from "./node-speed.ts";
import type { RungWork } from "./node-work.ts";
import { rungWork } from "./node-work.ts";
import type { QueuedWork } from "./run-queue.ts";

/** Weights of one journey in the mean and in the mean deviation, as TCP keeps its round-trip time (RFC 6298). */
const LINK_WEIGHT = 1 / 8;
const DEVIATION_WEIGHT = 1 / 4;
/** Mean deviations above the mean that are taken off a job's time. */
const LINK_DEVIATIONS = 2;
const MAX_LINK_MS = 1000;

/** The agent's own figures of one answer, and the exit it is of. */
export type Measured = { rung: number; queueMs: number; computeMs: number; batch: number };

/** A rung that a job was admitted at, its lane, and the waiting flights that make room for it. */
export type Admission = { work: RungWork; queued: QueuedWork; lane: number; evicted: Flight[] };

export class NodeModel {
  readonly #speed = new NodeSpeed();
  #lanes = new Lanes<Flight>(1, MAX_IN_FLIGHT);
  #registration: NodeRegistration | null;
  #link = { meanMs: 1, deviationMs: 0 };

  constructor(registration: NodeRegistration | null) {
    this.#registration = registration;
    this.reset();
  }

  get slowdown(): number {
    return this.#speed.slowdown;
  }

  /** Upper end of a run's time over its expected time; 1 or more. */
  tail(now: number): number {
    return this.#speed.tail(now);
  }

  /** There and back, without queue and compute, at its upper end. */
  get linkMs(): number {
    return Math.min(MAX_LINK_MS, this.#link.meanMs + LINK_DEVIATIONS * this.#link.deviationMs);
  }

  /** The node said what it is. `busyMs`: work it still has from before. A new start of the agent begins with a fresh profile. */
  register(registration: NodeRegistration, busyMs: number, now: number): void {
    if (registration.bootId !== this.#registration?.bootId) this.#speed.reset();
    this.#registration = registration;
    this.reset();
    this.#lanes.occupyAll(now, busyMs);
  }

  /** Nothing that was sent counts any more. */
  reset(): void {
    this.#lanes = new Lanes<Flight>(this.#registration?.concurrency ?? 1, MAX_IN_FLIGHT);
  }

  /** Expected machine time of one job. */
  predictedMs(work: { medianMs: number }): number {
    return this.#speed.workMs(work);
  }

  /** Is the node believed to have nothing to do? */
  idle(now: number): boolean {
    this.#advance(now);
    return this.#lanes.size === 0 && this.#lanes.totalMs(now) === 0;
  }

  /**
   * The deepest of these rungs that passes the demand test, and the lane that has room for it. Where not even the least
   * does, work of users who have used clearly more makes room. `fits`: any other condition on what is in flight, with
   * those named taken for gone.
   */
  admit(
    id: string,
    possible: readonly RungWork[],
    deadlineAt: number,
    now: number,
    claim: Claim,
    shares: FairShare,
    fits: (without: ReadonlySet<string>) => boolean,
  ): Admission | null {
    this.#advance(now);
    const roomy = fits(new Set());
    for (const [i, work] of possible.entries()) {
      const queued = this.#speed.queued(id, work, deadlineAt, now);
      // Tested by an earlier deadline and queued by its own it ends no later than what lies between, which was tested too.
      const least = i === possible.length - 1;
      const upperMs = queued.workMs + (queued.reserveMs ?? 0);
      const waits = waitsFor(work, possible.at(-1) as RungWork);
      const tested = least ? queued : { ...queued, deadlineAt: deeperDueAt(deadlineAt, upperMs, now, waits) };
      const lane = roomy ? this.#lanes.admits(tested, now) : -1;
      if (lane >= 0) return { work, queued, lane, evicted: [] };
      // Nobody's whole answer is given up for a few points of another's.
      const admission = least ? this.#withEviction(work, tested, now, claim, shares, fits) : null;
      if (admission) return { ...admission, queued };
    }
    return null;
  }

  /** A job to try an idle node with although it is predicted late: only a measurement can correct a pessimistic estimate. */
  probe(id: string, work: RungWork, deadlineAt: number, now: number): Admission {
    return { work, queued: this.#speed.queued(id, work, deadlineAt, now), lane: 0, evicted: [] };
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

  /** Nobody waits for the job any more; a stage that runs is not interrupted by that. True when it was still waiting. */
  dropped(flight: Flight, now: number): boolean {
    const waited = this.#lanes.removeWaiting(flight.id) !== undefined;
    if (!waited) this.#lanes.abandon(flight.id);
    this.#advance(now);
    return waited;
  }

  /** How fast the node is, and what the way takes. A journey of zero says only that the clock did not tick. */
  learn(flight: Flight, measured: Measured, now: number): void {
    const { rung, queueMs, computeMs, batch } = measured;
    const ran = this.#registration && rungWork(this.#registration, flight.application, flight.from, rung);
    if (ran) this.#speed.sample(computeMs, ran.stages, batch, now);
    const elapsed = now - flight.sentAt;
    if (!(elapsed > 0)) return;
    const way = Math.min(MAX_LINK_MS, Math.max(0, elapsed - queueMs - computeMs));
    const error = way - this.#link.meanMs;
    this.#link.meanMs += LINK_WEIGHT * error;
    this.#link.deviationMs += DEVIATION_WEIGHT * (Math.abs(error) - this.#link.deviationMs);
  }

  backlogMs(now: number): number[] {
    this.#advance(now);
    return this.#lanes.backlogMs(now);
  }

  /** The lane where the fewest must go. */
  #withEviction(
    work: RungWork,
    queued: QueuedWork,
    now: number,
    claim: Claim,
    shares: FairShare,
    fits: (without: ReadonlySet<string>) => boolean,
  ): Admission | null {
    let best: Admission | null = null;
    for (let lane = 0; lane < this.#lanes.count; lane++) {
      const waiting = this.#lanes.waiting(lane);
      // Behind nothing but what runs it must fit at least; so most hopeless jobs cost no search.
      if (!this.#lanes.admitsWithout(lane, queued, now, new Set(waiting.map(({ id }) => id)))) continue;
      const ids = new Set(
        shares.evictable(
          claim,
          queued.workMs,
          waiting,
          now,
          (without) => fits(without) && this.#lanes.admitsWithout(lane, queued, now, without),
        ),
      );
      if (ids.size === 0 || (best && best.evicted.length <= ids.size)) continue;
      best = { work, queued, lane, evicted: waiting.filter(({ id }) => ids.has(id)) };
    }
    return best;
  }

  /** The node works through its queue. */
  #advance(now: number): void {
    while (this.#lanes.startNext(now));
  }
}
