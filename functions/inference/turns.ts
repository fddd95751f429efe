/**
 * Turns at an isolate's one processor: whose stage runs next.
 *
 * Each job runs its stages in its own request's context; only plain data and resolvers are kept here, because I/O
 * objects may not cross from one request to another. A resolver may wake a job of another request. If that request is
 * gone, nothing wakes: so no dispatch waits for a continuation longer than WATCHDOG_MS.
 *
 * Between two stages other events are let in, so that a cancellation is heard and an earlier deadline goes first. Of
 * the ways to yield in workerd, a zero timeout is the one to use. Measured on workerd directly, 500 yields in a row:
 * setTimeout(0) 0.018 ms each, scheduler.wait(0) 0.022 ms. With 5 ms of computation between yields, both let in an HTTP
 * request at the next yield; a microtask, a message channel, an awaited digest, a stream and a call to an entrypoint
 * of the same Worker let none in before the computation was over.
 */
import type { EdgeWork } from "../../control/edge-admission.ts";
import { RunQueue } from "../../control/run-queue.ts";
import type { PlannedTime } from "./planned-time.ts";

export type Interruption = "cancelled" | "expired" | "evicted";

/** A job as the queue knows it. Its `workMs` is the work reserved for the stages still to run. */
export type Turn = EdgeWork & {
  /** Set once; a running stage ends first. */
  interruption: Interruption | null;
  /** Wakes the job while it waits for something that an interruption may cut short; null otherwise. */
  wake: (() => void) | null;
  /** True while what it waits for is the processor. */
  waiting: boolean;
  /** Settles when the processor it gave back last has been handed over; null where nobody waited for it. */
  handover: Promise<void> | null;
};

/** How long the processor may seem taken without a stage running before a waiting job takes it back. */
export const WATCHDOG_MS = 50;
/** How long past its deadline work may stay queued. */
const LINGER_MS = 1000;

export class Turns {
  readonly queue: RunQueue<Turn>;
  readonly #time: PlannedTime;
  /** Who may run. Between events, a sound holder exists only from its waking to its continuation. */
  #holder: Turn | null = null;
  /** True while other events are let in before the processor goes to the next. */
  #handingOver = false;
  /** Counts changes of the two, so that a waiting job can see that nothing moves. */
  #moves = 0;

  constructor(time: PlannedTime, limit: number) {
    this.#time = time;
    this.queue = new RunQueue(limit);
  }

  get running(): boolean {
    return this.#holder !== null;
  }

  /**
   * Waits until `turn`, which is in the queue, holds the processor. False when it was interrupted instead: then it is
   * neither in the queue nor the holder. Call in the context of the job's own request.
   */
  async acquire(turn: Turn): Promise<boolean> {
    while (turn.interruption === null && this.#holder !== turn) {
      await this.#woken(turn);
      // A watchdog may have taken the processor back before this continuation ran.
      const lost = this.#holder !== turn && turn.interruption === null;
      if (lost && !this.queue.waiting.includes(turn)) this.queue.insert(turn);
    }
    if (turn.interruption !== null) {
      this.release(turn);
      return false;
    }
    turn.begun = true;
    // Its own work is no obstacle to it, and nobody else asks before it gives the processor back.
    this.queue.occupy(this.#time.now(), 0);
    return true;
  }

  /** Forgets the job. If it held the processor, the next that waits has it after the events that are waiting. */
  release(turn: Turn): void {
    this.queue.remove(turn.id);
    if (this.#holder !== turn) return;
    this.#free();
    // A timer enters the isolate once more: none where it would wake nobody.
    if (this.#next()) this.#handOver(turn);
  }

  /** Gives the processor back, and queues up again for the job's next stages: other events are let in between. */
  requeue(turn: Turn): void {
    this.queue.remove(turn.id);
    if (this.#holder === turn) {
      this.#free();
      this.#handOver(turn);
    }
    this.queue.insert(turn);
  }

  /** Takes effect at once while the job waits, at its next stage boundary while it runs. The first reason stays. */
  interrupt(turn: Turn, interruption: Interruption): void {
    turn.interruption ??= interruption;
    turn.wake?.();
  }

  /** Takes waiting work's place away, at once; its job hears of it in its own time. */
  evict(id: string): void {
    const turn = this.queue.remove(id);
    if (turn) this.interrupt(turn, "evicted");
  }

  /** Removes work of requests that are gone: their own timers would have removed it long ago. */
  reap(now: number): void {
    for (const turn of this.queue.waiting.filter(({ deadlineAt }) => deadlineAt + LINGER_MS < now)) {
      this.queue.remove(turn.id);
    }
  }

  #next(): Turn | undefined {
    return this.queue.waiting.find(({ waiting }) => waiting);
  }

  #handOver(from: Turn): void {
    this.#handingOver = true;
    this.#moves++;
    from.handover = new Promise((resolve) => {
      setTimeout(() => {
        this.#handingOver = false;
        this.#dispatch();
        resolve();
      }, 0);
    });
  }

  #free(): void {
    this.#holder = null;
    this.queue.occupy(this.#time.now(), 0);
  }

  /** Lets the earliest deadline among those that wait have the processor, if it is free. */
  #dispatch(): void {
    if (this.#holder || this.#handingOver) return;
    const first = this.#next();
    if (!first) return;
    this.queue.remove(first.id);
    this.#holder = first;
    this.#moves++;
    this.queue.occupy(this.#time.now(), first.workMs);
    first.wake?.();
  }

  /** Settles when `turn` was given the processor or was interrupted, at once if the processor is free. */
  async #woken(turn: Turn): Promise<void> {
    const woken = Promise.withResolvers<void>();
    turn.wake = woken.resolve;
    turn.waiting = true;
    this.#dispatch();
    const watchdog = this.#holder === turn ? null : setInterval(this.#watch(), WATCHDOG_MS);
    try {
      await woken.promise;
    } finally {
      if (watchdog !== null) clearInterval(watchdog);
      turn.waiting = false;
      turn.wake = null;
    }
  }

  /**
   * A check that frees the processor when nothing has moved between two visits. Stages run within one event and what
   * follows them follows at once, so a holding that outlasts WATCHDOG_MS belongs to a request that is gone.
   */
  #watch(): () => void {
    let seen = -1;
    return () => {
      if (seen === this.#moves) {
        this.#free();
        this.#handingOver = false;
        this.#dispatch();
      }
      seen = this.#moves;
    };
  }
}
