/**
 * The executor of an inference isolate: admits jobs, runs their stages in the order of absolute deadline, follows each
 * job's plan at every stage boundary. The decisions are control/edge-admission.ts, control/edge-run.ts and
 * control/run-queue.ts; this is what carries them out.
 */
import { EdgeAdmission, type Bill, type EdgeAsk } from "../../control/edge-admission.ts";
import type { EdgeProgress, EdgeStep } from "../../control/edge-run.ts";
import { HoldUp } from "../../control/hold-up.ts";
import { rungAt } from "../../control/ladder.ts";
import { travelCode } from "../../control/travel-code.ts";
import type { Application } from "../../protocol/application.ts";
import type { Clock } from "../../protocol/clock.ts";
import { asDystriError, DystriError } from "../../protocol/errors.ts";
import type { EdgeJob, RunResult } from "../../protocol/inference.ts";
import { MAX_EDGE_JOBS } from "../../protocol/limits.ts";
import type { ExitResult } from "../../protocol/plan.ts";
import type { StageRunner, StageState } from "../../runtime/stage-runner.ts";
import { PlannedTime } from "./planned-time.ts";
import { Turns, type StageEnd, type Turn } from "./turns.ts";

/** What the executor needs of the runtime: `load` is slow at first, and rejects for good once it has failed. */
export type RunnerSource = {
  /** True once loading has ended, well or not. */
  readonly settled: boolean;
  load(application: string): Promise<StageRunner>;
};

/** A job that was let in, or refused: then `result` is there already. */
export type Opened = {
  result: Promise<RunResult>;
  /** Settles once the executor is done with the job, never rejects. The request must be kept alive until then. */
  held: Promise<void>;
  /** Ends the job at its next stage boundary, or at once while it waits. */
  cancel: () => void;
};

/** A job in progress. */
type Run = {
  job: EdgeJob;
  runner: StageRunner;
  state: StageState;
  turn: Turn;
  progress: Progress;
  bill: Bill;
  ahead: Ahead;
  /** Profile work done. */
  profileMs: number;
  /** How it ended; null before that, and where it was interrupted. */
  end: Exclude<EdgeStep, { kind: "run" }> | { kind: "failed"; rung: number; cause: unknown } | null;
};

/** What a job waited for: the load predicted at its arrival, and all profile work done by then, its own and others'. */
type Ahead = { readonly waitedMs: number; readonly doneMs: number };

type Progress = EdgeProgress & { exits: ExitResult[] };

export class Executor {
  readonly #source: RunnerSource;
  readonly #coldStartMs: number;
  readonly #time: PlannedTime;
  readonly #turns: Turns;
  readonly #admission: EdgeAdmission;
  readonly #holdUp = new HoldUp();
  #opened = 0;
  /** Profile milliseconds of all stages run so far. */
  #doneMs = 0;

  /**
   * `coldStartMs`: what loading is predicted to cost, for the admission of jobs that must wait for it. `applications`: all
   * that share this isolate's time, for its price.
   */
  constructor(source: RunnerSource, clock: Clock, coldStartMs: number, applications: readonly Application[]) {
    this.#source = source;
    this.#coldStartMs = coldStartMs;
    this.#time = new PlannedTime(clock);
    this.#turns = new Turns(this.#time, MAX_EDGE_JOBS);
    this.#admission = new EdgeAdmission(applications, MAX_EDGE_JOBS);
  }

  get queued(): number {
    return this.#turns.queue.length;
  }

  get running(): boolean {
    return this.#turns.running;
  }

  /** Takes in a job that has passed `checkJob`, or refuses it at once. Call it where the request arrives. */
  open(application: Application, job: EdgeJob): Opened {
    const now = this.#time.arrive();
    this.#turns.reap(now);
    const admission = this.#admission;
    admission.arrived(job.plan.edgeSlowdown, now, this.#doneMs);
    const { queue } = this.#turns;
    const cold = !this.#source.settled;
    if (cold && queue.busyMs(now) === 0) queue.occupy(now, this.#coldStartMs);
    const deadlineAt = now + job.remainingMs - this.#holdUp.mostMs(now);
    const aheadMs = admission.fittingMs(queue.aheadMs(deadlineAt, now));
    const progress: Progress = { option: job.option, from: job.start.from, exits: [], evidence: job.evidence };
    const ask: EdgeAsk = { application, plan: job.plan, progress, claim: job.claim };
    const { step, evicted } = admission.admit(ask, queue, deadlineAt, now);
    // Others wait for the same load: whoever began it is kept alive until it has ended, whatever becomes of the job.
    const loading = cold ? this.#loaded(application.name) : Promise.resolve();
    if (step?.kind !== "run") {
      const result: RunResult = { exits: [], ended: "refused", edge: this.#view(), profileMs: 0, aheadMs };
      return { result: Promise.resolve(result), held: loading, cancel: ignore };
    }
    for (const id of evicted) this.#turns.evict(id);
    progress.ceiling = step;
    const turn: Turn = {
      id: `${this.#opened++}`,
      deadlineAt,
      workMs: admission.queuedMs(step.workMs),
      claim: job.claim,
      begun: false,
      interruption: null,
      wake: null,
      stage: null,
      running: false,
      handover: null,
    };
    queue.insert(turn);
    const bill = admission.charge(job.claim, turn.workMs, now);
    const expiry = setTimeout(() => this.#turns.interrupt(turn, "expired"), job.remainingMs);
    const ahead: Ahead = { waitedMs: cold ? aheadMs : 0, doneMs: this.#doneMs };
    const result = this.#begin(job, application.name, turn, ahead, progress, bill).finally(() => {
      clearTimeout(expiry);
      queue.remove(turn.id);
      if (queue.length === 0) admission.idle();
      admission.settle(bill, this.#time.now());
    });
    // Until the processor has been handed over as well: the timer that does it belongs to this request.
    const held = result
      .then(ignore, ignore)
      .then(() => turn.handover)
      .then(() => loading);
    return { result, held, cancel: () => this.#turns.interrupt(turn, "cancelled") };
  }

  /** Settles when loading has ended, well or not; the processor no longer counts as taken by it. */
  async #loaded(application: string): Promise<void> {
    await this.#source.load(application).then(ignore, ignore);
    if (!this.#turns.running) this.#turns.queue.occupy(this.#time.now(), 0);
  }

  /** Loads, prepares the input, and runs. */
  async #begin(
    job: EdgeJob,
    application: string,
    turn: Turn,
    ahead: Ahead,
    progress: Progress,
    bill: Bill,
  ): Promise<RunResult> {
    const runner = await untilInterrupted(turn, this.#source.load(application));
    const state = runner && (await runner.begin(job.start));
    if (!runner || !state) {
      return {
        exits: [],
        ended: endOf(turn),
        edge: this.#view(),
        profileMs: 0,
        aheadMs: this.#aheadMs(ahead, 0),
      };
    }
    return this.#run({ job, runner, state, turn, progress, bill, ahead, profileMs: 0, end: null });
  }

  /** Stage after stage until the plan, time, the caller or a failure ends it. */
  async #run(run: Run): Promise<RunResult> {
    await this.#turns.run(run.turn, () => this.#advance(run));
    const { end, progress, runner } = run;
    if (end === null) return this.#result(run, endOf(run.turn));
    if (end.kind === "escalate") return this.#escalation(run, end.option);
    if (end.kind !== "failed") return this.#result(run, end.kind);
    const failure = `${rungAt(runner.application, end.rung).stage}: ${messageOf(end.cause)}`;
    if (progress.exits.length > 0) return { ...this.#result(run, "late"), failure };
    throw asDystriError(end.cause) ?? new DystriError("internal", failure, {}, end.cause);
  }

  /** The next stage, if the plan wants one and time allows. Nothing else in the isolate runs meanwhile. */
  async #advance(run: Run): Promise<StageEnd> {
    let step = this.#decide(run);
    let ranMs = 0;
    if (step.kind === "run") {
      const { rung } = step;
      try {
        ranMs = await this.#runStage(run, rung);
      } catch (cause) {
        run.end = { kind: "failed", rung, cause };
        return { ranMs, ended: true };
      }
      this.#admission.offerNext(askOf(run), this.#time.now());
      step = this.#decide(run);
    }
    if (step.kind === "run") run.turn.workMs = this.#admission.queuedMs(step.workMs);
    else {
      run.end = step;
      // At once: the continuation of its own request may be some events away, and the time until then is nobody's work.
      if (this.#turns.queue.length === 0) this.#admission.idle();
    }
    return { ranMs, ended: step.kind !== "run" };
  }

  /** A rung that no longer fits is stepped down, for good. */
  #decide(run: Run): EdgeStep {
    const step = this.#admission.next(askOf(run), this.#turns.queue, run.turn.deadlineAt, this.#time.now());
    if (step.kind === "run") run.progress.ceiling = step;
    return step;
  }

  /** Resolves with its profile work. */
  async #runStage(run: Run, rung: number): Promise<number> {
    const { runner, state, job, progress } = run;
    const profileMs = rungAt(runner.application, rung).referenceMs.edge;
    progress.exits.push(await runner.run(state, rung, job.topK));
    const predictedMs = this.#admission.predictedMs(profileMs);
    this.#time.spend(predictedMs);
    this.#holdUp.stage(this.#turns.servingSince, this.#time.now());
    this.#doneMs += profileMs;
    run.bill.usedMs += predictedMs;
    run.profileMs += profileMs;
    forgetUnneeded(run);
    return profileMs;
  }

  async #escalation(run: Run, option: number): Promise<RunResult> {
    const from = run.job.plan.options[option]?.from;
    const result = { ...this.#result(run, "escalate"), option };
    if (typeof from !== "number") return result;
    const { start } = run.job;
    if (start.from === from) return { ...result, cut: start.cut };
    const { cut } = rungAt(run.runner.application, from);
    if (!cut || !run.state.held.has(from)) return result;
    try {
      return { ...result, cut: await run.runner.cut(run.state, from, travelCode(cut)) };
    } catch (cause) {
      return { ...this.#result(run, "late"), failure: `packing the cut after rung ${from}: ${messageOf(cause)}` };
    }
  }

  #result({ progress, profileMs, ahead }: Run, ended: RunResult["ended"]): RunResult {
    const aheadMs = this.#aheadMs(ahead, profileMs);
    return { exits: progress.exits.map(withoutTop), ended, edge: this.#view(), profileMs, aheadMs };
  }

  /** Counted in profiles, not by a clock: how slow the isolate is, is what the caller wants to learn from it. */
  #aheadMs({ waitedMs, doneMs }: Ahead, ownMs: number): number {
    const othersMs = this.#doneMs - doneMs - ownMs;
    // To the nanosecond: sums of fractions do not come out even.
    return Math.max(waitedMs, Math.round(othersMs * 1e6) / 1e6);
  }

  #view(): RunResult["edge"] {
    const now = this.#time.now();
    const aheadMs = this.#admission.fittingMs(this.#turns.queue.totalMs(now));
    return { price: this.#admission.price(now), aheadMs, ageMs: 0 };
  }
}

const askOf = ({ runner, job, progress }: Run): EdgeAsk => ({
  application: runner.application,
  plan: job.plan,
  progress,
  claim: job.claim,
});

/** How a job ended that an interruption took out of the queue. Evicted work has not run: it is refused like what found no room. */
function endOf({ interruption }: Turn): "cancelled" | "late" | "refused" {
  if (interruption === "cancelled") return "cancelled";
  return interruption === "evicted" ? "refused" : "late";
}

/** Only the deepest exit is ever shown to anybody; of the others, evidence is all that need travel. */
const withoutTop = (exit: ExitResult, index: number, exits: readonly ExitResult[]): ExitResult =>
  index === exits.length - 1 ? exit : { ...exit, top: [] };

const ignore = (): void => undefined;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The outcome of `work`, or null as soon as the job is interrupted. */
async function untilInterrupted<T>(turn: Turn, work: Promise<T>): Promise<T | null> {
  if (turn.interruption !== null) return null;
  const interrupted = Promise.withResolvers<null>();
  turn.wake = () => interrupted.resolve(null);
  try {
    return await Promise.race([work, interrupted.promise]);
  } finally {
    turn.wake = null;
  }
}

/** Drops tensors that neither a stage still to run here nor an option of the plan reads: hundreds of jobs may wait. */
function forgetUnneeded({ job, runner, state, progress }: Run): void {
  const { rungs } = runner.application;
  const finished = (rung: number): boolean => progress.exits.some(({ exit }) => exit === rung);
  for (const from of state.held.keys()) {
    const read =
      job.plan.options.some((option) => option.from === from) ||
      rungs.some((rung, index) => rung.resumesFrom === from && rung.tiers.includes("edge") && !finished(index));
    if (!read) state.held.delete(from);
  }
}
