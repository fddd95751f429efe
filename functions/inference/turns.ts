/**
 * Turns at an isolate's one processor: whose stage runs next.
 *
 * A job that finds the processor free serves: it runs the stages of all that wait, the earliest deadline first, whosever
 * they are. A stage is computation alone and needs nothing of its request, and only plain data and resolvers are kept
 * here, because I/O objects may not cross from one request to another. Waking each job for each of its stages instead
 * would send it through the thread's queue of events every time: behind other Workers' events an isolate could then run
 * hardly more than one stage a round of them, and work that had been let in waited until its time was over.
 *
 * Whoever serves stops after QUANTUM_MS: other events are let in, so that a cancellation is heard and an earlier deadline
 * goes first, and the next that waits goes on. It may belong to a request that is gone, and then nothing wakes: so no
 * dispatch waits for it longer than WATCHDOG_MS.
 *
 * Of the ways to yield in workerd, a zero timeout is the one to use. Measured on workerd directly, 500 yields in a row:
 * setTimeout(0) 0.018 ms each, scheduler.wait(0) 0.022 ms. With 5 ms of computation between yields, both let in an HTTP
 * request at the next yield; a microtask, a message channel, an awaited digest, a stream and a call to an entrypoint
 * of the same Worker let none in before the computation was over.
 */
import type { EdgeWork } from "../../control/edge-admission.ts";
import { RunQueue } from "../../control/run-queue.ts";
import type { PlannedTime } from "./planned-time.ts";

export type Interruption = "cancelled" | "expired" | "evicted";

/** One stage has run, which took `ranMs` of profile work; nothing where the job ended instead. */
export type StageEnd = { ranMs: number; ended: boolean };

/** A job as the queue knows it. Its `workMs` is the work reserved for the stages still to run. */
export type Turn = EdgeWork & {
  /** Set once; a running stage ends first. */
  interruption: Interruption | null;
  /** Wakes the job while it waits for something that an interruption may cut short; null otherwise. */
  wake: (() => void) | null;
  /** Runs its next stage. Null before it waits for the processor and once it has ended. */
  stage: (() => Promise<StageEnd>) | null;
  /** True during a stage. */
  running: boolean;
  /** Settles when the processor it gave back last has been handed over; null where nobody waited for it. */
  handover: Promise<void> | null;
};

/** Profile work after which other events are let in. */
const QUANTUM_MS = 4;
/** How long the processor may seem taken without a stage running before a waiting job takes it back. */
export const WATCHDOG_MS = 50;
/** How long past its deadline work may stay queued. */
const LINGER_MS = 1000;

export class Turns {
  readonly queue: RunQueue<Turn>;
  readonly #time: PlannedTime;
  /** Somebody serves, or has stopped and lets other events in before the next does. */
  #busy = false;
  /** When whoever serves began, or the last one did. */
  #servingSince = Number.NEGATIVE_INFINITY;
  /** Counts those who have served: whoever is not the last any more has lost the processor. */
  #shift = 0;
  /** Counts what happens at the processor, so that a waiting job can see that nothing moves. */
  #moves = 0;

  constructor(time: PlannedTime, limit: number) {
    this.#time = time;
    this.queue = new RunQueue(limit);
  }

  get running(): boolean {
    return this.#busy;
  }

  /** Since when no other events have been let in, during a stage and right after it. */
  get servingSince(): number {
    return this.#servingSince;
  }

  /**
   * Runs `stage` of `turn`, which is in the queue, until it says that the job has ended or the job is interrupted; then it
   * is not in the queue any more. `stage` settles within the event that calls it, which may be another request's, and
   * never rejects. Call in the context of the job's own request.
   */
  async run(turn: Turn, stage: () => Promise<StageEnd>): Promise<void> {
    turn.stage = stage;
    while (turn.stage !== null && turn.interruption === null) {
      if (this.#busy) await this.#woken(turn);
      else await this.#serve(turn);
    }
    turn.stage = null;
    this.queue.remove(turn.id);
  }

  /** Takes effect at once while the job waits, at its next stage boundary while it runs. The first reason stays. */
  interrupt(turn: Turn, interruption: Interruption): void {
    turn.interruption ??= interruption;
    if (!turn.running) turn.wake?.();
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
    return this.queue.waiting.find(({ stage, interruption }) => stage !== null && interruption === null);
  }

  /** Runs stages in the order of deadline until none waits or the quantum is over. */
  async #serve(server: Turn): Promise<void> {
    const shift = ++this.#shift;
    this.#busy = true;
    this.#servingSince = this.#time.now();
    let ranMs = 0;
    for (let next = this.#next(); next; next = this.#next()) {
      if (ranMs >= QUANTUM_MS) {
        server.handover = this.#handOver(shift);
        return;
      }
      ranMs += await this.#runStage(next);
      // A stage that took several events, for whatever reason, may have lost the processor to a watchdog.
      if (this.#shift !== shift) return;
    }
    this.#busy = false;
  }

  /** One stage. Its own work is no obstacle to it, and nobody else asks before it is over. */
  async #runStage(turn: Turn): Promise<number> {
    const { stage } = turn;
    if (!stage) return 0;
    this.queue.remove(turn.id);
    this.queue.occupy(this.#time.now(), 0);
    [turn.begun, turn.running] = [true, true];
    this.#moves++;
    const { ranMs, ended } = await stage();
    turn.running = false;
    this.#moves++;
    if (!ended && turn.interruption === null) this.queue.insert(turn);
    else {
      turn.stage = null;
      turn.wake?.();
    }
    return ranMs;
  }

  /** Lets other events in, then wakes the next that waits, if whoever has come in has not begun to serve. */
  async #handOver(shift: number): Promise<void> {
    await new Promise((resolve) => void setTimeout(resolve, 0));
    if (this.#shift !== shift) return;
    this.#busy = false;
    this.#moves++;
    this.#next()?.wake?.();
  }

  /** Settles when `turn` has ended, was interrupted, or had better serve. */
  async #woken(turn: Turn): Promise<void> {
    const woken = Promise.withResolvers<void>();
    turn.wake = woken.resolve;
    const watchdog = setInterval(this.#watch(woken.resolve), WATCHDOG_MS);
    try {
      await woken.promise;
    } finally {
      clearInterval(watchdog);
      turn.wake = null;
    }
  }

  /**
   * A check that frees the processor when nothing has moved between two visits. Stages run within one event and what
   * follows them follows at once, so a shift that outlasts WATCHDOG_MS belongs to a request that is gone.
   */
  #watch(wake: () => void): () => void {
    let seen = -1;
    return () => {
      if (seen === this.#moves) {
        this.#busy = false;
        wake();
      }
      seen = this.#moves;
    };
  }
}
