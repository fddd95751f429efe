/**
 * The executor of an inference isolate: admits jobs, runs their stages in the order of absolute deadline, follows each
 * job's plan at every stage boundary. The decisions are control/edge-run.ts and control/run-queue.ts; this is what
 * carries them out.
 */
import { nextStep, type EdgeProgress, type EdgeStep } from "../../control/edge-run.ts";
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
import { Turns, type Turn } from "./turns.ts";

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
  cancel(): void;
};

/** A job in progress. */
type Run = {
  job: EdgeJob;
  runner: StageRunner;
  state: StageState;
  turn: Turn;
  progress: EdgeProgress & { exits: ExitResult[] };
  /** Work found ahead on arrival, and profile work done. */
  aheadMs: number;
  profileMs: number;
};

/** Settles after a zero timer set before this one has fired. */
const afterEvents = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 0));

export class Executor {
  readonly #source: RunnerSource;
  readonly #coldStartMs: number;
  readonly #time: PlannedTime;
  readonly #turns: Turns;
  #opened = 0;

  /** `coldStartMs`: what loading is predicted to cost, for the admission of jobs that must wait for it. */
  constructor(source: RunnerSource, clock: Clock, coldStartMs: number) {
    this.#source = source;
    this.#coldStartMs = coldStartMs;
    this.#time = new PlannedTime(clock);
    this.#turns = new Turns(this.#time, MAX_EDGE_JOBS);
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
    const { queue } = this.#turns;
    const cold = !this.#source.settled;
    if (cold && queue.busyMs(now) === 0) queue.occupy(now, this.#coldStartMs);
    const deadlineAt = now + job.remainingMs;
    const aheadMs = queue.aheadMs(deadlineAt, now);
    const progress = { option: job.option, from: job.start.from, exits: [], evidence: job.evidence };
    const step = nextStep(application, job.plan, progress, queue.slackMs(deadlineAt, now));
    // Others wait for the same load: whoever began it is kept alive until it has ended, whatever becomes of the job.
    const loading = cold ? this.#loaded(application.name) : Promise.resolve();
    if (step.kind !== "run" || queue.length >= MAX_EDGE_JOBS) {
      const result: RunResult = { exits: [], ended: "refused", edge: this.#view(), profileMs: 0, aheadMs };
      return { result: Promise.resolve(result), held: loading, cancel: ignore };
    }
    const turn: Turn = {
      id: `${this.#opened++}`,
      deadlineAt,
      workMs: step.workMs,
      interruption: null,
      wake: null,
      waiting: false,
    };
    queue.insert(turn);
    const expiry = setTimeout(() => this.#turns.interrupt(turn, "expired"), job.remainingMs);
    const result = this.#begin(job, application.name, turn, aheadMs, progress).finally(() => {
      clearTimeout(expiry);
      this.#turns.release(turn);
    });
    // Until the processor has been handed over as well: the timer that does it belongs to this request.
    const held = result
      .then(ignore, ignore)
      .then(afterEvents)
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
    aheadMs: number,
    progress: Run["progress"],
  ): Promise<RunResult> {
    const runner = await untilInterrupted(turn, this.#source.load(application));
    const state = runner && (await runner.begin(job.start));
    if (!runner || !state) {
      return {
        exits: [],
        ended: turn.interruption === "cancelled" ? "cancelled" : "late",
        edge: this.#view(),
        profileMs: 0,
        aheadMs,
      };
    }
    return this.#run({ job, runner, state, turn, progress, aheadMs, profileMs: 0 });
  }

  /** Stage after stage until the plan, time, the caller or a failure ends it. */
  async #run(run: Run): Promise<RunResult> {
    const { turn, runner, progress } = run;
    while (await this.#turns.acquire(turn)) {
      // From here to release or requeue nothing else in the isolate runs: a stage settles within its own event.
      let step = this.#decide(run);
      if (step.kind === "run") {
        try {
          await this.#runStage(run, step.rung);
        } catch (cause) {
          this.#turns.release(turn);
          const failure = `${rungAt(runner.application, step.rung).stage}: ${messageOf(cause)}`;
          if (progress.exits.length > 0) return { ...this.#result(run, "late"), failure };
          throw asDystriError(cause) ?? new DystriError("internal", failure, {}, cause);
        }
        step = this.#decide(run);
      }
      if (step.kind === "run") {
        turn.workMs = step.workMs;
        this.#turns.requeue(turn);
        continue;
      }
      this.#turns.release(turn);
      if (step.kind === "escalate") return this.#escalation(run, step.option);
      return this.#result(run, step.kind);
    }
    return this.#result(run, turn.interruption === "cancelled" ? "cancelled" : "late");
  }

  #decide({ job, runner, turn, progress }: Run): EdgeStep {
    const fitsMs = this.#turns.queue.slackMs(turn.deadlineAt, this.#time.now());
    return nextStep(runner.application, job.plan, progress, fitsMs);
  }

  async #runStage(run: Run, rung: number): Promise<void> {
    const { runner, state, job, progress } = run;
    const predictedMs = rungAt(runner.application, rung).referenceMs.edge;
    progress.exits.push(await runner.run(state, rung, job.topK));
    this.#time.spend(predictedMs);
    run.profileMs += predictedMs;
    forgetUnneeded(run);
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

  #result({ progress, profileMs, aheadMs }: Run, ended: RunResult["ended"]): RunResult {
    return { exits: progress.exits.map(withoutTop), ended, edge: this.#view(), profileMs, aheadMs };
  }

  #view(): RunResult["edge"] {
    return { price: 0, aheadMs: this.#turns.queue.totalMs(this.#time.now()), ageMs: 0 };
  }
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
