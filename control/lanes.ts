/**
 * A machine that runs `count` pieces of work at a time: one EDF queue per lane, admission lane by lane, and a free
 * lane with nothing of its own takes the most urgent piece waiting elsewhere, which can only make things earlier.
 * The agent runs its work by it; the gateway keeps one as its model of the agent.
 */
import { BACKLOG_EDGES_MS } from "../protocol/plan.ts";
import type { QueuedWork } from "./run-queue.ts";
import { RunQueue } from "./run-queue.ts";

type Lane<W extends QueuedWork> = { queue: RunQueue<W>; running: W | null };

export class Lanes<W extends QueuedWork> {
  readonly #lanes: Lane<W>[];

  constructor(count: number, limitPerLane: number) {
    this.#lanes = Array.from({ length: count }, () => ({ queue: new RunQueue<W>(limitPerLane), running: null }));
  }

  /** Pieces waiting or running. */
  get size(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.queue.length + (lane.running ? 1 : 0), 0);
  }

  /** Pieces waiting, lane by lane, earliest deadline first in each. */
  waiting(lane: number): readonly W[] {
    return this.#at(lane).queue.waiting;
  }

  get count(): number {
    return this.#lanes.length;
  }

  /** The lane that passes the demand test for `work` with the least work ahead of it; −1 when none does. */
  admits(work: QueuedWork, now: number): number {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    this.#lanes.forEach((lane, i) => {
      const ahead = lane.queue.aheadMs(work.deadlineAt, now);
      if (ahead < least && lane.queue.admits(work, now)) [best, least] = [i, ahead];
    });
    return best;
  }

  /** Would `lane` pass the demand test for `work` if the pieces named in `without` were gone? */
  admitsWithout(lane: number, work: QueuedWork, now: number, without: ReadonlySet<string>): boolean {
    return this.#at(lane).queue.admits(work, now, without);
  }

  insert(lane: number, work: W): void {
    this.#at(lane).queue.insert(work);
  }

  /** Starts the most urgent piece a free lane may run; null when no lane is free or nothing waits. */
  startNext(now: number): W | null {
    for (const lane of this.#lanes) {
      if (lane.running || lane.queue.busyMs(now) > 0) continue;
      const work = lane.queue.takeFirst() ?? this.#mostUrgent()?.queue.takeFirst();
      if (!work) return null;
      lane.running = work;
      lane.queue.occupy(now, work.workMs);
      return work;
    }
    return null;
  }

  /** What waits behind the running piece `id`; undefined when it is not running. */
  behind(id: string): RunQueue<W> | undefined {
    return this.#running(id)?.queue;
  }

  /** The running piece `id` will take `workMs` from now on: it stepped down, or a stage of it has ended. */
  expect(id: string, now: number, workMs: number): void {
    this.#running(id)?.queue.occupy(now, workMs);
  }

  /** The running piece `id` has ended; its lane is free. False when it is not running. */
  finish(id: string, now: number): boolean {
    const lane = this.#running(id);
    if (!lane) return false;
    lane.running = null;
    lane.queue.occupy(now, 0);
    return true;
  }

  /** Takes a waiting piece out; undefined when it does not wait. */
  removeWaiting(id: string): W | undefined {
    for (const lane of this.#lanes) {
      const removed = lane.queue.remove(id);
      if (removed) return removed;
    }
    return undefined;
  }

  /** Nobody waits for the running piece any more, but its lane stays busy for as long as was predicted. */
  abandon(id: string): boolean {
    const lane = this.#running(id);
    if (lane) lane.running = null;
    return lane !== undefined;
  }

  /** Every lane is busy for `workMs` with work nobody here waits for. */
  occupyAll(now: number, workMs: number): void {
    for (const lane of this.#lanes) lane.queue.occupy(now, workMs);
  }

  /** The machine itself says it still has `workMs` before it: what is not known of here counts as busy time. */
  atLeast(workMs: number, now: number): void {
    const unknownMs = workMs - this.totalMs(now);
    if (!(unknownMs > 0)) return;
    for (const lane of this.#lanes) lane.queue.occupy(now, lane.queue.busyMs(now) + unknownMs / this.#lanes.length);
  }

  /** All predicted work, what is left of the running pieces included. */
  totalMs(now: number): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.queue.totalMs(now), 0);
  }

  /**
   * Predicted work of all lanes by when it is due: entry i within BACKLOG_EDGES_MS[i] but not within the edge before,
   * the last everything later. What nobody waits for is due at once.
   */
  backlogMs(now: number): number[] {
    const buckets = new Array<number>(BACKLOG_EDGES_MS.length + 1).fill(0);
    const add = (dueMs: number, workMs: number) => {
      const edge = BACKLOG_EDGES_MS.findIndex((upper) => dueMs <= upper);
      const bucket = edge < 0 ? BACKLOG_EDGES_MS.length : edge;
      buckets[bucket] = (buckets[bucket] as number) + workMs;
    };
    for (const lane of this.#lanes) {
      add(lane.running ? lane.running.deadlineAt - now : 0, lane.queue.busyMs(now));
      for (const work of lane.queue.waiting) add(work.deadlineAt - now, work.workMs);
    }
    return buckets;
  }

  #at(lane: number): Lane<W> {
    const found = this.#lanes[lane];
    if (!found) throw new RangeError(`there is no lane ${lane}`);
    return found;
  }

  #running(id: string): Lane<W> | undefined {
    return this.#lanes.find((lane) => lane.running?.id === id);
  }

  #mostUrgent(): Lane<W> | undefined {
    return this.#lanes
      .filter((lane) => lane.queue.length > 0)
      .sort((a, b) => (a.queue.waiting[0] as W).deadlineAt - (b.queue.waiting[0] as W).deadlineAt)[0];
  }
}
