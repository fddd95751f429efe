/**
 * A machine of the baselines: a queue in an order, a rule of what is dropped from it, batches, one machine's physics. What
 * is run is the selector's business; order, dropping and stepping down are this file's, so that each selector can be
 * crossed with each of them.
 */
import type { From } from "../../../control/ladder.ts";
import { NodeSpeed } from "../../../control/node-speed.ts";
import type { Application } from "../../../protocol/application.ts";
import type { EventQueue, Timer } from "../../simulator/event-queue.ts";
import type { Site } from "../../simulator/site.ts";
import type { Offered } from "../../simulator/workload.ts";
import { batchMs } from "../../../control/node-work.ts";
import { frontier, SPREAD, type Work } from "./ladder-profile.ts";

/** One request at one machine. Instants are the world's. */
export type Job = {
  request: Offered;
  from: From;
  /** The answer must leave the machine by then. */
  dueAt: number;
  arrivedAt: number;
  /** The rung that was chosen before it came; −1 leaves it to the machine. */
  rung: number;
  end: (end: JobEnd) => void;
  /** Asked after each stage but the last: is this exit's answer enough? */
  stops?: (exit: number) => boolean;
};

/** `lost`: with its machine. */
export type JobEnd = { kind: "answer"; rung: number } | { kind: "dropped" | "lost" };

/** `expired`: what is late already at its turn; `predicted`: what would be, at the quickest rung its selector accepts. */
export type Core = {
  order: "fifo" | "edf";
  drop: "none" | "expired" | "predicted";
  /** A batch predicted late at its rung takes the deepest lower one that is not. */
  stepDown: boolean;
};

export type Batch = { work: Work; jobs: Job[] };
export type Choice = Batch | { waitUntil: number };

/** What to run when a lane is free and the queue is not empty. */
export interface Selector {
  choose(server: Server, now: number): Choice;
  /** Before the batch ends for its jobs. `tookMs`: of execution. */
  ended?(server: Server, batch: Batch, tookMs: number, now: number): void;
}

/** What a machine can run of an application from one start: by rung, and what of it is worth having. */
type Ladder = { works: (Work | null)[]; frontier: Work[] };

/** Most jobs in one batch. */
export const MOST_IN_BATCH = 16;
/** Arrivals a second are counted over so long. */
const RATE_MS = 1000;

export class Server {
  readonly name: string;
  /** Index of the node; −1 for an isolate. */
  readonly node: number;
  readonly lanes: number;
  readonly batching: boolean;
  readonly queue: Job[] = [];
  readonly speed = new NodeSpeed();
  readonly #events: EventQueue;
  #site: Site;
  readonly #core: Core;
  readonly #selector: Selector;
  readonly #workOf: (application: Application, rung: number, from: From) => Work | null;
  readonly #ladders = new Map<Application, Map<From, Ladder>>();
  readonly #arrivals: number[] = [];
  #running = 0;
  /** What runs, for whoever loses it. */
  readonly #batches = new Set<Batch>();
  #timer: Timer | null = null;

  constructor(
    identity: { name: string; node: number; lanes: number; batching: boolean },
    events: EventQueue,
    site: Site,
    core: Core,
    selector: Selector,
    workOf: (application: Application, rung: number, from: From) => Work | null,
  ) {
    ({ name: this.name, node: this.node, lanes: this.lanes, batching: this.batching } = identity);
    this.#events = events;
    this.#site = site;
    this.#core = core;
    this.#selector = selector;
    this.#workOf = workOf;
  }

  push(job: Job): void {
    const { queue } = this;
    let at = queue.length;
    if (this.#core.order === "edf") while (at > 0 && (queue[at - 1] as Job).dueAt > job.dueAt) at--;
    queue.splice(at, 0, job);
    this.#arrivals.push(this.#events.now);
    this.#next();
  }

  /** What this machine can run of a ladder, quickest first, each better than all quicker ones. */
  frontier(application: Application, from: From = "input"): readonly Work[] {
    return this.#ladder(application, from).frontier;
  }

  /** Null where this machine cannot. */
  work(application: Application, rung: number, from: From = "input"): Work | null {
    return this.#ladder(application, from).works[rung] ?? null;
  }

  /** The time by which a batch has ended in 95 of 100 cases, and the expected time. */
  upperMs({ stages }: Work, batch: number): number {
    return this.speed.upperMs(stages, SPREAD, batch, this.#events.now);
  }

  meanMs({ stages }: Work, batch: number): number {
    return this.speed.runMs(stages, batch);
  }

  /** Jobs a second sent here of late. */
  rate(): number {
    const since = this.#events.now - RATE_MS;
    while (this.#arrivals.length > 0 && (this.#arrivals[0] as number) < since) this.#arrivals.shift();
    return (1000 * this.#arrivals.length) / Math.min(RATE_MS, Math.max(1, this.#events.now));
  }

  /** Waiting jobs that could run with `head`, itself first, in the queue's order; at most `limit`. */
  alike(head: Job, limit: number): Job[] {
    const most = this.batching ? limit : 1;
    const found: Job[] = [head];
    for (const job of this.queue) {
      if (found.length >= most) break;
      const same = job.request.user.application === head.request.user.application && job.from === head.from;
      if (job !== head && same && job.rung === head.rung) found.push(job);
    }
    return found;
  }

  /**
   * `head` with as many others as still end in time by the earliest deadline among them. Where the head is late whatever
   * is done, as many as `limit`: then only throughput is left to be had.
   */
  inTime(head: Job, work: Work, limit: number, now: number): Job[] {
    const jobs = this.alike(head, limit);
    let dueAt = head.dueAt;
    if (now + this.upperMs(work, 1) > dueAt) return jobs;
    let count = 1;
    for (; count < jobs.length; count++) {
      dueAt = Math.min(dueAt, (jobs[count] as Job).dueAt);
      if (now + this.upperMs(work, count + 1) > dueAt) break;
    }
    return jobs.slice(0, count);
  }

  /** The machine is gone, with all it had. Gives what is lost; nothing of it ends. */
  lose(): Job[] {
    const lost = [...this.queue, ...[...this.#batches].flatMap(({ jobs }) => jobs)];
    this.queue.length = 0;
    this.#batches.clear();
    this.#running = this.lanes;
    return lost;
  }

  /** A new machine in its place. */
  restart(site: Site): void {
    this.#site = site;
    this.#running = 0;
    this.#next();
  }

  #ladder(application: Application, from: From): Ladder {
    const known = this.#ladders.get(application)?.get(from);
    if (known) return known;
    const works = application.rungs.map((_, rung) => this.#workOf(application, rung, from));
    const ladder: Ladder = { works, frontier: frontier(works) };
    const ladders = this.#ladders.get(application) ?? new Map<From, Ladder>();
    this.#ladders.set(application, ladders.set(from, ladder));
    return ladder;
  }

  #next(): void {
    while (this.#running < this.lanes && this.queue.length > 0) {
      const { now } = this.#events;
      if (this.#drops(now)) continue;
      const choice = this.#selector.choose(this, now);
      if ("waitUntil" in choice) {
        this.#events.cancel(this.#timer);
        this.#timer = this.#events.at(Math.max(choice.waitUntil, now + 0.1), () => this.#next());
        return;
      }
      const work = this.#core.stepDown ? this.#steppedDown(choice, now) : choice.work;
      this.#run({ ...choice, work });
    }
  }

  /** The first in the queue is dropped by the rule. */
  #drops(now: number): boolean {
    const head = this.queue[0] as Job;
    const { drop, stepDown } = this.#core;
    if (drop === "none") return false;
    let needsMs = 0;
    if (drop === "predicted") {
      const { application } = head.request.user;
      const own =
        head.rung < 0 || stepDown
          ? this.frontier(application, head.from)[0]
          : this.work(application, head.rung, head.from);
      needsMs = own ? this.upperMs(own, 1) : 0;
    }
    if (now + needsMs <= head.dueAt) return false;
    this.queue.shift();
    head.end({ kind: "dropped" });
    return true;
  }

  #steppedDown({ work, jobs }: Batch, now: number): Work {
    const [head] = jobs;
    if (!head) return work;
    const dueAt = jobs.reduce((least, job) => Math.min(least, job.dueAt), Number.POSITIVE_INFINITY);
    if (now + this.upperMs(work, jobs.length) <= dueAt) return work;
    const lower = this.frontier(head.request.user.application, head.from).filter(
      ({ accuracy }) => accuracy < work.accuracy,
    );
    return lower.findLast((one) => now + this.upperMs(one, jobs.length) <= dueAt) ?? lower[0] ?? work;
  }

  #run(batch: Batch): void {
    const jobs = [...batch.jobs];
    for (const job of jobs) this.queue.splice(this.queue.indexOf(job), 1);
    this.#running++;
    const running = { ...batch, jobs };
    this.#batches.add(running);
    this.#stage(
      running,
      0,
      jobs.map(({ request }) => request.id),
      this.#events.now,
    );
  }

  #stage(batch: Batch, at: number, requests: readonly number[], beganAt: number): void {
    const { work, jobs } = batch;
    const stage = work.stages[at];
    const { now } = this.#events;
    if (stage) {
      this.#site.compute(batchMs([stage], jobs.length), requests, stage.rung, () => {
        if (at + 1 < work.stages.length) this.#stopEarly(batch, stage.rung);
        if (jobs.length > 0) this.#stage(batch, at + 1, requests, beganAt);
        else this.#free(batch);
      });
      return;
    }
    // A batch that jobs have left took less than one of its size from the first stage on, and says nothing.
    if (jobs.length === requests.length) this.speed.sample(now - beganAt, work.stages, jobs.length, now);
    this.#selector.ended?.(this, batch, now - beganAt, now);
    for (const job of jobs) job.end({ kind: "answer", rung: work.rung });
    this.#free(batch);
  }

  /** Jobs that are content with this exit leave their batch. */
  #stopEarly({ jobs }: Batch, exit: number): void {
    for (let i = jobs.length - 1; i >= 0; i--) {
      const job = jobs[i] as Job;
      if (!job.stops?.(exit)) continue;
      jobs.splice(i, 1);
      job.end({ kind: "answer", rung: exit });
    }
  }

  #free(batch: Batch): void {
    this.#batches.delete(batch);
    this.#running--;
    this.#next();
  }
}
