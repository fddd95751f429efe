/**
 * An inference isolate: one thread, a clock that stands still while it computes, the real admission, queue and plan
 * following (control/edge-admission, run-queue, edge-run). What functions/inference/executor does with promises is done
 * here with events: whatever arrives during a stage is let in when the stage has ended.
 */
import { EdgeAdmission, type Bill, type EdgeAsk, type EdgeWork } from "../../control/edge-admission.ts";
import type { EdgeProgress } from "../../control/edge-run.ts";
import { HoldUp } from "../../control/hold-up.ts";
import { rungAt } from "../../control/ladder.ts";
import { RunQueue } from "../../control/run-queue.ts";
import { PlannedTime } from "../../functions/inference/planned-time.ts";
import type { Application } from "../../protocol/application.ts";
import type { Clock } from "../../protocol/clock.ts";
import type { EdgeJob, RunResult } from "../../protocol/inference.ts";
import { MAX_EDGE_JOBS } from "../../protocol/limits.ts";
import type { ExitResult } from "../../protocol/plan.ts";
import type { Timer } from "./event-queue.ts";
import type { Site } from "./site.ts";
import { cutOf } from "./tensors.ts";
import type { Offered } from "./workload.ts";
import type { World } from "./world.ts";

type Job = EdgeWork & {
  ask: EdgeAsk & { progress: EdgeProgress & { exits: ExitResult[] } };
  job: EdgeJob;
  request: Offered;
  reply: (result: RunResult) => void;
  bill: Bill;
  /** All profile work done when it came. */
  doneMs: number;
  profileMs: number;
  interrupted: "cancelled" | "expired" | null;
  expiry: Timer | null;
};

export class EdgeSite {
  readonly #world: World;
  readonly #site: Site;
  readonly #name: string;
  readonly #time: PlannedTime;
  readonly #admission: EdgeAdmission;
  readonly #holdUp = new HoldUp();
  readonly #queue = new RunQueue<Job>(MAX_EDGE_JOBS);
  readonly #jobs = new Map<string, Job>();
  /** What arrived while a stage ran. */
  readonly #inbox: (() => void)[] = [];
  #running: Job | null = null;
  #arrivedAt: number;
  #opened = 0;
  #beganAt = 0;
  /** Profile milliseconds of all stages run so far. */
  #doneMs = 0;

  constructor(world: World, name: string, platform: string, site: Site) {
    this.#world = world;
    this.#site = site;
    this.#name = name;
    this.#arrivedAt = world.clock(name);
    const read = (): number => this.#arrivedAt;
    const clock: Clock = { now: read, arrive: read, settled: (io) => io };
    this.#time = new PlannedTime(clock);
    const served = world.applications.filter((application) => application.platform === platform);
    this.#admission = new EdgeAdmission(served, MAX_EDGE_JOBS);
  }

  /** A call has arrived. `reply` is called once. Gives the way to cancel, which also takes a call. */
  open(job: EdgeJob, application: Application, request: Offered, reply: (result: RunResult) => void): () => void {
    const id = `${this.#opened++}`;
    this.#world.messages.count("edge", this.#name, "edge run");
    this.#receive(() => this.#open(id, job, application, request, reply));
    return () => this.#receive(() => this.#interrupt(id, "cancelled"));
  }

  #open(
    id: string,
    job: EdgeJob,
    application: Application,
    request: Offered,
    reply: (result: RunResult) => void,
  ): void {
    const now = this.#time.arrive();
    const admission = this.#admission;
    admission.arrived(job.plan.edgeSlowdown, now, this.#doneMs);
    const deadlineAt = now + job.remainingMs - this.#holdUp.mostMs(now);
    const aheadMs = admission.fittingMs(this.#queue.aheadMs(deadlineAt, now));
    const progress: Job["ask"]["progress"] = {
      option: job.option,
      from: job.start.from,
      exits: [],
      evidence: job.evidence,
    };
    const ask = { application, plan: job.plan, progress, claim: job.claim };
    const { step, evicted } = admission.admit(ask, this.#queue, deadlineAt, now);
    if (step?.kind !== "run") {
      reply({ exits: [], ended: "refused", edge: this.#view(), profileMs: 0, aheadMs });
      return;
    }
    for (const other of evicted) {
      const gone = this.#queue.remove(other);
      if (gone) this.#end(gone, "refused");
    }
    progress.ceiling = step;
    const workMs = admission.queuedMs(step.workMs);
    const bill = admission.charge(job.claim, workMs, now);
    const expiry = this.#world.events.after(job.remainingMs, () => this.#receive(() => this.#interrupt(id, "expired")));
    const admitted: Job = {
      id,
      deadlineAt,
      workMs,
      claim: job.claim,
      begun: false,
      ask,
      job,
      request,
      reply,
      bill,
      doneMs: this.#doneMs,
      profileMs: 0,
      interrupted: null,
      expiry,
    };
    this.#jobs.set(id, admitted);
    this.#queue.insert(admitted);
  }

  /** Something from outside: at once, or when the stage that runs has ended. */
  #receive(act: () => void): void {
    if (this.#running) {
      this.#inbox.push(act);
      return;
    }
    this.#arrivedAt = this.#world.clock(this.#name);
    act();
    this.#dispatch();
  }

  #interrupt(id: string, why: "cancelled" | "expired"): void {
    const job = this.#jobs.get(id);
    if (!job || job.interrupted) return;
    job.interrupted = why;
    if (this.#queue.remove(id)) this.#end(job, why === "cancelled" ? "cancelled" : "late");
  }

  #dispatch(): void {
    while (!this.#running) {
      const job = this.#queue.takeFirst();
      if (!job) return this.#admission.idle();
      job.begun = true;
      this.#queue.occupy(this.#time.now(), 0);
      this.#advance(job);
    }
  }

  /** The job holds the processor, between two stages or before its first. */
  #advance(job: Job): void {
    const step = this.#decide(job);
    if (step.kind !== "run") return this.#stop(job, step);
    const { request, ask } = job;
    const { referenceMs } = rungAt(ask.application, step.rung);
    this.#running = job;
    this.#beganAt = this.#time.now();
    this.#queue.occupy(this.#time.now(), job.workMs);
    this.#site.compute(referenceMs.edge, [request.id], step.rung, () => this.#stageEnded(job, step.rung));
  }

  #stageEnded(job: Job, rung: number): void {
    const { ask, request, bill } = job;
    this.#running = null;
    this.#queue.occupy(this.#time.now(), 0);
    ask.progress.exits.push(this.#world.inputsOf(ask.application).exit(request.input, rung));
    const profileMs = rungAt(ask.application, rung).referenceMs.edge;
    const predictedMs = this.#admission.predictedMs(profileMs);
    this.#time.spend(predictedMs);
    this.#holdUp.stage(this.#beganAt, this.#time.now());
    bill.usedMs += predictedMs;
    job.profileMs += profileMs;
    this.#doneMs += profileMs;
    this.#admission.offerNext(ask, this.#time.now());
    const step = this.#decide(job);
    if (step.kind === "run" && !job.interrupted) {
      job.workMs = this.#admission.queuedMs(step.workMs);
      this.#queue.insert(job);
    } else if (step.kind === "run") this.#end(job, job.interrupted === "cancelled" ? "cancelled" : "late");
    else this.#stop(job, step);
    for (const act of this.#inbox.splice(0)) {
      this.#arrivedAt = this.#world.clock(this.#name);
      this.#time.arrive();
      act();
    }
    this.#dispatch();
  }

  #decide(job: Job) {
    const step = this.#admission.next(job.ask, this.#queue, job.deadlineAt, this.#time.now());
    if (step.kind === "run") job.ask.progress.ceiling = step;
    return step;
  }

  #stop(job: Job, step: { kind: "stop" | "late" } | { kind: "escalate"; option: number }): void {
    if (step.kind !== "escalate") return this.#end(job, step.kind);
    const from = job.job.plan.options[step.option]?.from;
    const { start } = job.job;
    const held = typeof from === "number" && job.ask.progress.exits.some(({ exit }) => exit === from);
    const cut =
      start.from !== "input" && start.from === from ? start.cut : held ? cutOf(job.ask.application, from) : undefined;
    this.#end(job, "escalate", { option: step.option, ...(cut ? { cut } : {}) });
  }

  #end(job: Job, ended: RunResult["ended"], more: Pick<RunResult, "option" | "cut"> = {}): void {
    this.#world.events.cancel(job.expiry);
    this.#jobs.delete(job.id);
    this.#admission.settle(job.bill, this.#time.now());
    const { exits } = job.ask.progress;
    const aheadMs = this.#doneMs - job.doneMs - job.profileMs;
    job.reply({ exits, ended, ...more, edge: this.#view(), profileMs: job.profileMs, aheadMs });
  }

  #view(): RunResult["edge"] {
    const now = this.#time.now();
    const aheadMs = this.#admission.fittingMs(this.#queue.totalMs(now));
    return { price: this.#admission.price(now), aheadMs, ageMs: 0 };
  }
}
