/**
 * The queue of one serial executor (an inference isolate, one lane of a node): earliest deadline first, with the
 * demand test at the door. What was admitted on exact times never misses: a piece of work is let in only if it makes
 * its own deadline behind everything due earlier and takes the slack of nothing due later.
 *
 * EDF and the demand test: Liu and Layland 1973; Baruah et al. 1990. Linear scans: fine below a few hundred entries.
 */

export type QueuedWork = {
  id: string;
  /** On the owner's clock. */
  deadlineAt: number;
  /** Predicted time it will occupy the executor. */
  workMs: number;
  /** Kept free before its deadline, so that it is in time even when it takes longer than expected. 0 where absent. */
  reserveMs?: number;
};

const NOTHING: ReadonlySet<string> = new Set();

export class RunQueue<W extends QueuedWork> {
  /** Sorted by deadline; first come, first served among equals. */
  readonly #waiting: W[] = [];
  readonly #limit: number;
  #busyUntil = Number.NEGATIVE_INFINITY;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** Work waiting, earliest deadline first. */
  get waiting(): readonly W[] {
    return this.#waiting;
  }

  /** Time until the running piece is expected to end. */
  busyMs(now: number): number {
    return Math.max(0, this.#busyUntil - now);
  }

  /** Tells the queue what the executor is doing: `workMs` from `now` on. Zero when it became free. */
  occupy(now: number, workMs: number): void {
    this.#busyUntil = workMs > 0 ? now + workMs : Number.NEGATIVE_INFINITY;
  }

  /** Predicted work that would run before a piece due at `deadlineAt`, the running piece included. */
  aheadMs(deadlineAt: number, now: number): number {
    let sum = this.busyMs(now);
    for (const work of this.#waiting) {
      if (work.deadlineAt > deadlineAt) break;
      sum += work.workMs;
    }
    return sum;
  }

  /** All predicted work in the queue, the running piece included. */
  totalMs(now: number): number {
    return this.aheadMs(Number.POSITIVE_INFINITY, now);
  }

  /**
   * The most work that could be added with that deadline so that it and everything admitted before still make theirs,
   * reserves kept. Negative when not even nothing would be in time. Work already predicted late takes nothing from the
   * newcomer's rights, only slack it would newly lose counts; work that has begun to use up its reserve has none left.
   * Work named in `without` is taken for gone.
   */
  slackMs(deadlineAt: number, now: number, without: ReadonlySet<string> = NOTHING): number {
    return this.#slackMs({ deadlineAt, workMs: 0 }, now, without);
  }

  /** The demand test: would `work` and everything admitted before it, less what is named in `without`, still make their deadlines? */
  admits(work: QueuedWork, now: number, without: ReadonlySet<string> = NOTHING): boolean {
    const waiting = without.size === 0 ? this.#waiting : this.#waiting.filter(({ id }) => !without.has(id));
    return waiting.length < this.#limit && work.workMs <= this.#slackMs(work, now, without);
  }

  /** The most that may run now, before everything that waits, without making late what would be in time without it. */
  headroomMs(now: number): number {
    let finishAt = now;
    let slackMs = Number.POSITIVE_INFINITY;
    for (const queued of this.#waiting) {
      finishAt += queued.workMs;
      if (finishAt <= queued.deadlineAt) slackMs = Math.min(slackMs, queued.deadlineAt - finishAt);
    }
    return slackMs;
  }

  #slackMs({ deadlineAt, reserveMs = 0 }: Omit<QueuedWork, "id">, now: number, without: ReadonlySet<string>): number {
    let finishAt = now + this.busyMs(now);
    let slackMs = Number.POSITIVE_INFINITY;
    let placed = false;
    for (const queued of this.#waiting) {
      if (without.has(queued.id)) continue;
      if (!placed && queued.deadlineAt > deadlineAt) {
        slackMs = deadlineAt - reserveMs - finishAt;
        placed = true;
      }
      finishAt += queued.workMs;
      const leftMs = queued.deadlineAt - finishAt;
      if (placed && leftMs >= 0) slackMs = Math.min(slackMs, Math.max(0, leftMs - (queued.reserveMs ?? 0)));
    }
    return placed ? slackMs : deadlineAt - reserveMs - finishAt;
  }

  /** Inserts without asking; admission is the caller's decision. */
  insert(work: W): void {
    let at = this.#waiting.length;
    while (at > 0 && (this.#waiting[at - 1] as W).deadlineAt > work.deadlineAt) at--;
    this.#waiting.splice(at, 0, work);
  }

  /** Takes the earliest deadline; undefined when nothing waits. */
  takeFirst(): W | undefined {
    return this.#waiting.shift();
  }

  /** Removes one piece of waiting work; undefined when it is not there (running, finished or unknown). */
  remove(id: string): W | undefined {
    const at = this.#waiting.findIndex((work) => work.id === id);
    return at < 0 ? undefined : this.#waiting.splice(at, 1)[0];
  }
}
