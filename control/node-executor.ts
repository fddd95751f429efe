/**
 * What a node's agent does with its jobs, as a pure state machine: admission, order, batches, stepping down, stopping
 * at stage boundaries. Earliest deadline first; a job's rung is chosen once more when it starts and again between
 * stages, and only ever goes down, never below the job's `minRung`. Jobs that run the same stages may run together;
 * each still ends on its own. No I/O; time passed in; instants are the agent's own.
 *
 * Upper estimates decide while a lower rung is left; for the lowest one the expected time does, because the
 * alternative to trying is no answer.
 */
import type { NodeRegistration, RefusalCode } from "../protocol/fleet.ts";
import { REFUSALS } from "../protocol/fleet.ts";
import { batchPays, companions } from "./batching.ts";
import { Lanes } from "./lanes.ts";
import { NodeSpeed, PROBE_EVERY_MS, worthProbing } from "./node-speed.ts";
import type { RungWork, StageWork } from "./node-work.ts";
import { candidates } from "./node-work.ts";
import type { QueuedWork } from "./run-queue.ts";

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
 * What to do next: run the stage of `rung` for these jobs at once and tell `stageEnded(batch)`; or, of one job: answer
 * with the exit that has just finished, say that it is too late, or drop it without a word. `batch` of an answer is how
 * many jobs shared its compute time, over all its stages.
 */
export type Step =
  | { do: "run"; batch: number; ids: string[]; rung: number }
  | { do: "answer"; id: string; queueMs: number; computeMs: number; batch: number }
  | { do: "late"; id: string }
  | { do: "drop"; id: string };

type Job = QueuedWork & ArrivingJob & { arrivedAt: number; possible: RungWork[]; probe: boolean };
type Member = { job: Job; target: RungWork; cancelled: boolean };
type Batch = {
  id: number;
  /** The job by whose name the lane is held. */
  lane: string;
  members: Member[];
  /** Jobs in the stage that runs. */
  size: number;
  /** The way of the deepest target. */
  stages: StageWork[];
  stagesDone: number;
  startedAt: number;
  stageStartedAt: number;
  /** One member's part of the time so far. */
  shareMs: number;
};

export class NodeExecutor {
  readonly #registration: NodeRegistration;
  readonly #lanes: Lanes<Job>;
  readonly #batches = new Map<number, Batch>();
  /** By job. */
  readonly #running = new Map<string, Batch>();
  readonly #speed = new NodeSpeed();
  #lastBatch = 0;
  #probedAt = Number.NEGATIVE_INFINITY;
  #draining = false;

  /** `limit`: jobs waiting per lane. */
  constructor(registration: NodeRegistration, limit: number) {
    this.#registration = registration;
    this.#lanes = new Lanes<Job>(registration.concurrency, limit);
  }

  /** Jobs waiting or running. */
  get size(): number {
    return this.#lanes.size - this.#batches.size + this.#running.size;
  }

  get slowdown(): number {
    return this.#speed.slowdown;
  }

  /** Predicted work held, what is left of the running stages included. */
  backlogMs(now: number): number {
    return this.#lanes.totalMs(now);
  }

  /** Takes a job if it makes its deadline at some rung it allows without making an admitted one late; else says why not. */
  arrive(arriving: ArrivingJob, now: number): Arrival {
    if (this.#draining) return refused("draining");
    const possible = candidates(this.#registration, arriving);
    const lowest = possible.at(-1);
    if (!lowest) return refused("unknown_application");
    const deadlineAt = now + arriving.remainingMs;
    for (const [i, work] of possible.entries()) {
      const queued = this.#speed.queued(arriving.id, work, deadlineAt, now);
      if (work === lowest) queued.reserveMs = Math.max(0, this.#speed.aloneMs(work) - queued.workMs);
      const lane = this.#lanes.admits(queued, now);
      if (lane < 0) continue;
      const job = { ...arriving, ...queued, arrivedAt: now, possible: possible.slice(i), probe: false };
      this.#lanes.insert(lane, job);
      return { queued: true };
    }
    if (this.#mayProbe(lowest, arriving.remainingMs, now)) {
      this.#probedAt = now;
      const queued = this.#speed.queued(arriving.id, lowest, deadlineAt, now);
      this.#lanes.insert(0, { ...arriving, ...queued, arrivedAt: now, possible: [lowest], probe: true });
      return { queued: true };
    }
    return refused("too_late", `${REFUSALS.too_late}: ${this.backlogMs(now).toFixed(1)} ms are queued`);
  }

  /**
   * Starts the most urgent job if a lane is free, at the deepest of its rungs that still fits, together with those
   * that can run with it. Null when there is nothing to start.
   */
  dispatch(now: number): Step | null {
    const job = this.#lanes.startNext(now);
    if (!job) return null;
    const work = this.#choose(job, now);
    const [first] = work?.stages ?? [];
    if (!work || !first) {
      this.#lanes.finish(job.id, now);
      return { do: "late", id: job.id };
    }
    const jobs = [job, ...this.#companions(job, work, now)];
    const batch: Batch = {
      id: ++this.#lastBatch,
      lane: job.id,
      members: jobs.map((one) => ({ job: one, target: work, cancelled: false })),
      size: jobs.length,
      stages: work.stages,
      stagesDone: 0,
      startedAt: now,
      stageStartedAt: now,
      shareMs: 0,
    };
    this.#batches.set(batch.id, batch);
    for (const one of jobs) this.#running.set(one.id, batch);
    return this.#run(batch, now);
  }

  /**
   * The stage that a batch was running has ended, for those not reported `failed`. Each job goes on to its rung, or to
   * the deepest one on the way that can still be made; with none left, it answers with this exit if it allows it. Those
   * that go on do so together, by a `run` at the end of the list; the others are gone.
   */
  stageEnded(id: number, now: number): Step[] {
    const batch = this.#batches.get(id);
    if (!batch) return [];
    const stage = batch.stages[batch.stagesDone] as StageWork;
    const tookMs = now - batch.stageStartedAt;
    this.#speed.sample(tookMs, [stage], batch.size, now);
    batch.shareMs += tookMs / batch.size;
    batch.stagesDone++;

    const going = batch.members.filter(
      ({ target, cancelled }) => !cancelled && target.stages.length > batch.stagesDone,
    ).length;
    const steps: Step[] = [];
    const staying: Member[] = [];
    for (const member of batch.members) {
      const target = this.#goesOnTo(batch, member, going, now);
      if (target) {
        member.target = target;
        staying.push(member);
      } else {
        this.#running.delete(member.job.id);
        steps.push(this.#ending(batch, member, now));
      }
    }
    batch.members = staying;
    if (staying.length === 0) {
      this.#close(batch, now);
      return steps;
    }
    batch.stages = staying.map(({ target }) => target.stages).reduce((a, b) => (b.length > a.length ? b : a));
    batch.size = staying.length;
    batch.stageStartedAt = now;
    return [...steps, this.#run(batch, now)];
  }

  /** The runtime failed on the job while its stage ran; it is gone. The others of its batch go on. */
  failed(id: string, now: number): void {
    const batch = this.#running.get(id);
    if (!batch) return;
    this.#running.delete(id);
    batch.members = batch.members.filter(({ job }) => job.id !== id);
    if (batch.members.length === 0) this.#close(batch, now);
  }

  /** `gone`: it was waiting. `stopping`: it runs and is dropped when its stage ends. */
  cancel(id: string): "gone" | "stopping" | "unknown" {
    if (this.#lanes.removeWaiting(id)) return "gone";
    const member = this.#running.get(id)?.members.find(({ job }) => job.id === id);
    if (!member) return "unknown";
    member.cancelled = true;
    return "stopping";
  }

  /** No more jobs from now on; those held are finished. */
  drain(): void {
    this.#draining = true;
  }

  #mayProbe(lowest: RungWork, remainingMs: number, now: number): boolean {
    const alone = this.#lanes.size === 0 && this.#lanes.totalMs(now) === 0;
    return alone && now - this.#probedAt >= PROBE_EVERY_MS && worthProbing(lowest, remainingMs);
  }

  /** The deepest rung that fits at its upper end; the lowest one if it fits as expected. */
  #choose(job: Job, now: number): RungWork | undefined {
    const leftMs = job.deadlineAt - now;
    const fits = job.possible.find((work) => this.#speed.upperAloneMs(work, now) <= leftMs);
    if (fits) return fits;
    const lowest = job.possible.at(-1);
    return lowest && (job.probe || this.#speed.aloneMs(lowest) <= leftMs) ? lowest : undefined;
  }

  #companions(job: Job, work: RungWork, now: number): Job[] {
    const behind = this.#lanes.behind(job.id);
    if (!behind || behind.length === 0 || !batchPays(work.stages)) return [];
    const spread = work.tailMs / work.medianMs;
    const taken = companions(
      job.deadlineAt,
      behind.waiting,
      now,
      (other) =>
        other.application === job.application &&
        other.from === job.from &&
        this.#choose(other, now)?.rung === work.rung,
      (batch) => this.#speed.upperMs(work.stages, spread, batch, now),
    );
    for (const one of taken) behind.remove(one.id);
    return taken;
  }

  #run(batch: Batch, now: number): Step {
    const rest = batch.stages.slice(batch.stagesDone);
    this.#lanes.expect(batch.lane, now, this.#speed.runMs(rest, batch.size));
    const { rung } = rest[0] as StageWork;
    return { do: "run", batch: batch.id, ids: batch.members.map(({ job }) => job.id), rung };
  }

  /**
   * The rung a member goes on to with `going` of its batch; undefined when it ends here. One that holds an exit it
   * may answer with goes on only where that is safe for it, and makes nobody late who waits.
   */
  #goesOnTo(batch: Batch, { job, target, cancelled }: Member, going: number, now: number): RungWork | undefined {
    if (cancelled) return undefined;
    const leftMs = job.deadlineAt - now;
    const spread = target.tailMs / target.medianMs;
    const holds = (batch.stages[batch.stagesDone - 1] as StageWork).rung >= job.minRung;
    const headroomMs = holds ? (this.#lanes.behind(batch.lane)?.headroomMs(now) ?? 0) : Number.POSITIVE_INFINITY;
    let lowest: RungWork | undefined;
    for (let length = target.stages.length; length > batch.stagesDone; length--) {
      const stages = target.stages.slice(0, length);
      const { rung } = stages.at(-1) as StageWork;
      if (rung < job.minRung) continue;
      const rest = stages.slice(batch.stagesDone);
      const shortened = length === target.stages.length ? target : { ...target, rung, stages };
      const expectedMs = this.#speed.runMs(rest, going);
      if (this.#speed.upperMs(rest, spread, going, now) <= leftMs && expectedMs <= headroomMs) return shortened;
      lowest = expectedMs <= leftMs ? shortened : undefined;
    }
    return holds ? undefined : lowest;
  }

  #ending(batch: Batch, { job, cancelled }: Member, now: number): Step {
    const { id } = job;
    if (cancelled) return { do: "drop", id };
    const exit = (batch.stages[batch.stagesDone - 1] as StageWork).rung;
    if (exit < job.minRung) return { do: "late", id };
    const computeMs = now - batch.startedAt;
    const shared = batch.shareMs > 0 ? Math.max(1, Math.round(computeMs / batch.shareMs)) : batch.size;
    return { do: "answer", id, queueMs: batch.startedAt - job.arrivedAt, computeMs, batch: shared };
  }

  #close(batch: Batch, now: number): void {
    this.#batches.delete(batch.id);
    this.#lanes.finish(batch.lane, now);
  }
}

function refused(code: RefusalCode, detail: string = REFUSALS[code]): Arrival {
  return { queued: false, code, detail };
}
