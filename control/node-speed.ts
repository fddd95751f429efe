/**
 * What work on a node is expected to take, by its profile and by what was measured since: the same sums for the agent
 * and for the gateway. Two factors, equal while nothing is batched: `run` of a run over the profile of that run, and
 * `share` of one job's part of a run over the job's profile alone. Batching lowers the second: it is what queued work
 * will take of the machine; the first is how long a job itself takes once it has begun.
 */
import type { RungWork } from "./node-work.ts";
import { batchMs, type StageWork } from "./node-work.ts";
import type { QueuedWork } from "./run-queue.ts";
import { FRESH_UPPER, Slowdown } from "./slowdown.ts";

/** A lone job that only pessimism calls late runs all the same, at most this often: without a measurement it would never end. */
export const PROBE_EVERY_MS = 1000;

/** Would a node of which nothing has been measured make this in `remainingMs`? If so, it is the measurements that say no. */
export function worthProbing(work: RungWork, remainingMs: number): boolean {
  return Math.max(work.tailMs, work.medianMs * FRESH_UPPER) <= remainingMs;
}

export class NodeSpeed {
  readonly #run = new Slowdown();
  readonly #share = new Slowdown();

  /** Expected machine time of one job over its profile. */
  get slowdown(): number {
    return this.#share.mean;
  }

  /** Upper end of a single run's time over its expected time; 1 or more. */
  tail(now: number): number {
    return this.#run.upper(now) / this.#run.mean;
  }

  /** Expected machine time of one job among others. */
  workMs(work: { medianMs: number }): number {
    return work.medianMs * this.#share.mean;
  }

  /** Expected time of a run of these stages for `batch` jobs at once. */
  runMs(stages: readonly StageWork[], batch: number): number {
    return batchMs(stages, batch) * this.#run.mean;
  }

  /** Time by which a run of these stages for `batch` jobs has ended in 95 of 100 cases. `spread`: p95 over median, by profile. */
  upperMs(stages: readonly StageWork[], spread: number, batch: number, now: number): number {
    return batchMs(stages, batch) * Math.max(spread * this.#run.mean, this.#run.upper(now));
  }

  /** One job's run alone, expected and at its upper end. */
  aloneMs(work: RungWork): number {
    return work.medianMs * this.#run.mean;
  }

  upperAloneMs(work: RungWork, now: number): number {
    return Math.max(work.tailMs * this.#run.mean, work.medianMs * this.#run.upper(now));
  }

  /** As it goes into a queue: its machine time, and what must stay free for its own run to be in time at its upper end. */
  queued(id: string, work: RungWork, deadlineAt: number, now: number): QueuedWork {
    const workMs = this.workMs(work);
    return { id, deadlineAt, workMs, reserveMs: Math.max(0, this.upperAloneMs(work, now) - workMs) };
  }

  /** A run of these stages for `batch` jobs took `tookMs`. */
  sample(tookMs: number, stages: readonly StageWork[], batch: number, now: number): void {
    this.#run.sample(tookMs, batchMs(stages, batch), now);
    this.#share.sample(tookMs / batch, batchMs(stages, 1), now);
  }

  reset(): void {
    this.#run.reset();
    this.#share.reset();
  }
}
