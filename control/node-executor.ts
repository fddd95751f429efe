/**
 * What a node's agent does with its jobs, as a pure state machine: admission, order, stepping down, stopping at stage
 * boundaries. Earliest deadline first; a job's rung is chosen once more when it starts and again between stages, and
 * only ever goes down, never below the job's `minRung`. No I/O; time passed in; instants are the agent's own.
 */
import type { NodeRegistration, RefusalCode } from "../protocol/fleet.ts";
import { REFUSALS } from "../protocol/fleet.ts";
import { Lanes } from "./lanes.ts";
import type { RungWork } from "./node-work.ts";
import { candidates, rungWork } from "./node-work.ts";
import type { QueuedWork } from "./run-queue.ts";
import { Slowdown } from "./slowdown.ts";

export type ArrivingJob = {
  id: string;
  application: string;
  from: "input" | number;
  rung: number;
  minRung: number;
  /** Until the answer must leave the agent. */
  remainingMs: number;
};

export type Arrival = { queued: true } | { queued: false; code: RefusalCode; detail: string };

/**
 * What to do next with a job: run the stage of `rung`, answer with the exit that has just finished, say that it is too
 * late, or drop it without a word.
 */
export type Step =
  | { do: "run"; id: string; rung: number }
  | { do: "answer"; id: string; queueMs: number; computeMs: number }
  | { do: "late"; id: string }
  | { do: "drop"; id: string };

type Job = QueuedWork & ArrivingJob & { arrivedAt: number; possible: RungWork[] };
type Running = { job: Job; work: RungWork; stagesDone: number; startedAt: number; cancelled: boolean };

export class NodeExecutor {
  readonly #registration: NodeRegistration;
  readonly #lanes: Lanes<Job>;
  readonly #running = new Map<string, Running>();
  readonly #slowdown = new Slowdown();
  #draining = false;

  /** `limit`: jobs waiting per lane. */
  constructor(registration: NodeRegistration, limit: number) {
    this.#registration = registration;
    this.#lanes = new Lanes<Job>(registration.concurrency, limit);
  }

  /** Jobs waiting or running. */
  get size(): number {
    return this.#lanes.size;
  }

  get slowdown(): number {
    return this.#slowdown.value;
  }

  /** Predicted work held, what is left of the running stages included. */
  backlogMs(now: number): number {
    return this.#lanes.totalMs(now);
  }

  /** Takes a job if it makes its deadline at some rung it allows without making an admitted one late; else says why not. */
  arrive(arriving: ArrivingJob, now: number): Arrival {
    if (this.#draining) return refused("draining");
    const possible = candidates(this.#registration, arriving);
    if (possible.length === 0) return refused("unknown_application");
    const deadlineAt = now + arriving.remainingMs;
    for (const [i, work] of possible.entries()) {
      const workMs = work.medianMs * this.#slowdown.value;
      const lane = this.#lanes.admits({ id: arriving.id, deadlineAt, workMs }, now);
      if (lane < 0) continue;
      this.#lanes.insert(lane, { ...arriving, deadlineAt, workMs, arrivedAt: now, possible: possible.slice(i) });
      return { queued: true };
    }
    return refused("too_late", `${REFUSALS.too_late}: ${this.backlogMs(now).toFixed(1)} ms are queued`);
  }

  /**
   * Starts the most urgent job if a lane is free: the deepest of its rungs whose 95th percentile still fits, or the
   * lowest one if at least its median does. Null when there is nothing to start.
   */
  dispatch(now: number): Step | null {
    const job = this.#lanes.startNext(now);
    if (!job) return null;
    const leftMs = (job.deadlineAt - now) / this.#slowdown.value;
    const lowest = job.possible.at(-1);
    const work =
      job.possible.find((one) => one.tailMs <= leftMs) ?? (lowest && lowest.medianMs <= leftMs ? lowest : undefined);
    const first = work?.way[0];
    if (!work || first === undefined) {
      this.#lanes.finish(job.id, now);
      return { do: "late", id: job.id };
    }
    this.#running.set(job.id, { job, work, stagesDone: 0, startedAt: now, cancelled: false });
    this.#lanes.expect(job.id, now, work.medianMs * this.#slowdown.value);
    return { do: "run", id: job.id, rung: first };
  }

  /**
   * The stage a job was running has ended. Goes on to the rung chosen, or to the deepest one on the way that can still
   * be made; with none left, answers with this exit if the job allows it. After anything but `run` the job is gone.
   */
  stageEnded(id: string, now: number): Step {
    const running = this.#running.get(id);
    if (!running) return { do: "drop", id };
    running.stagesDone++;
    const { job, work, stagesDone } = running;
    if (running.cancelled) return this.#end(running, now, "drop");
    if (stagesDone === work.way.length) return this.#end(running, now, "answer");

    const leftMs = (job.deadlineAt - now) / this.#slowdown.value;
    const here = work.way[stagesDone - 1] as number;
    for (let target = work.way.length; target > stagesDone; target--) {
      const rung = work.way[target - 1] as number;
      const rest = rung >= job.minRung ? rungWork(this.#registration, job.application, here, rung) : null;
      const restMs = rest?.medianMs ?? this.#restOf(running, target);
      if (rung < job.minRung || restMs > leftMs) continue;
      running.work = { ...work, rung, way: work.way.slice(0, target) };
      this.#lanes.expect(id, now, restMs * this.#slowdown.value);
      return { do: "run", id, rung: work.way[stagesDone] as number };
    }
    return this.#end(running, now, here >= job.minRung ? "answer" : "late");
  }

  /** The runtime failed on the job; it is gone. */
  failed(id: string, now: number): void {
    const running = this.#running.get(id);
    if (running) this.#end(running, now, "drop");
  }

  /** `gone`: it was waiting. `stopping`: it runs and is dropped when its stage ends. */
  cancel(id: string): "gone" | "stopping" | "unknown" {
    if (this.#lanes.removeWaiting(id)) return "gone";
    const running = this.#running.get(id);
    if (!running) return "unknown";
    running.cancelled = true;
    return "stopping";
  }

  /** No more jobs from now on; those held are finished. */
  drain(): void {
    this.#draining = true;
  }

  #end(running: Running, now: number, what: "answer" | "late" | "drop"): Step {
    const { job, work, stagesDone, startedAt } = running;
    this.#running.delete(job.id);
    this.#lanes.finish(job.id, now);
    if (what !== "answer") return { do: what, id: job.id };
    const computeMs = now - startedAt;
    const ran = rungWork(this.#registration, job.application, job.from, work.way[stagesDone - 1] as number);
    if (ran) this.#slowdown.sample(computeMs, ran.medianMs);
    return { do: "answer", id: job.id, queueMs: startedAt - job.arrivedAt, computeMs };
  }

  /** Where a rung on the way has no profile of its own, its share of the whole way stands in. */
  #restOf(running: Running, target: number): number {
    const { work, stagesDone } = running;
    return (work.medianMs * (target - stagesDone)) / work.way.length;
  }
}

function refused(code: RefusalCode, detail: string = REFUSALS[code]): Arrival {
  return { queued: false, code, detail };
}
