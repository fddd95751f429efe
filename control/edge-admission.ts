/**
 * Who may use an inference isolate's time, and at what price: the demand test, eviction, the price of offered work, users'
 * use of it. Pure: the queue is the caller's, instants are passed in.
 *
 * Plans, views and results count in profile milliseconds. The queue, the price and the books of use count in
 * milliseconds of the machine, which are `slowdown` times as many.
 */
import type { Application } from "../protocol/application.ts";
import type { Claim } from "../protocol/fleet.ts";
import type { Plan } from "../protocol/plan.ts";
import { EdgePace } from "./edge-pace.ts";
import { leastWorkMs, nextStep, type EdgeProgress, type EdgeStep } from "./edge-run.ts";
import { FairShare } from "./fair-share.ts";
import { rungAt } from "./ladder.ts";
import { deeperFitsMs } from "./patience.ts";
import { edgeBounds, PriceLoop, type PriceBounds } from "./price.ts";
import type { QueuedWork, RunQueue } from "./run-queue.ts";

/** Work in the queue. `begun`: something of it has run, and what has run is not taken back. */
export type EdgeWork = QueuedWork & { claim: Claim; begun: boolean };

/** What the test needs of a job that asks to be let in, or that stands at a stage boundary. */
export type EdgeAsk = { application: Application; plan: Plan; progress: EdgeProgress; claim: Claim };

/** `run`: let in, once the work named in `evicted` has been taken out of the queue. */
export type Admission = { step: EdgeStep | null; evicted: string[] };

/** What a user was charged at admission and what was used, in milliseconds of the machine. */
export type Bill = { readonly claim: Claim; readonly chargedMs: number; readonly at: number; usedMs: number };

/**
 * Work is queued at this multiple of its expected time. An isolate that plans to the last millisecond lets deeper stages
 * of some eat the whole slack of others, who then miss with nothing finished whenever the pace is a few percent off.
 */
export const RESERVE = 1.15;
/** An isolate runs one stage at a time. */
const LANES = 1;
const NOBODY: ReadonlySet<string> = new Set();

export class EdgeAdmission {
  readonly #limit: number;
  readonly #pace = new EdgePace();
  readonly #shares = new FairShare();
  readonly #bounds: PriceBounds;
  readonly #price: PriceLoop;
  readonly #fullRuns = new Map<Application, number>();

  /** `applications`: all that share the isolate's time. `limit`: jobs it may hold. */
  constructor(applications: readonly Application[], limit: number) {
    this.#limit = limit;
    this.#bounds = edgeBounds(applications);
    this.#price = new PriceLoop(LANES, this.#bounds);
  }

  /**
   * A call has arrived at `now`, with its controller's word on how fast this isolate is; `doneMs`: profile work done so far.
   * The price is bounded in the machine's milliseconds.
   */
  arrived(slowdown: number, now: number, doneMs: number): void {
    this.#pace.tell(slowdown);
    this.#pace.arrived(now, doneMs);
    const { fullRunMs, maxPrice } = this.#bounds;
    this.#price.configure(LANES, { fullRunMs: this.predictedMs(fullRunMs), maxPrice: maxPrice / this.#pace.slowdown });
  }

  /** Nothing is left to run. */
  idle(): void {
    this.#pace.idle();
  }

  predictedMs(profileMs: number): number {
    return profileMs * this.#pace.slowdown;
  }

  /** What so much profile work takes of the queue. */
  queuedMs(profileMs: number): number {
    return RESERVE * this.predictedMs(profileMs);
  }

  /** The profile work that fits in so much of the queue. */
  fittingMs(queuedMs: number): number {
    return queuedMs / (RESERVE * this.#pace.slowdown);
  }

  price(now: number): number {
    return this.#price.price(now);
  }

  /**
   * May the job in? Where there is no room even for the least it accepts, waiting work of users who use clearly more gives
   * way; never for a deeper rung, which would trade somebody's whole answer for a few points of another's. The work it
   * asks for moves the price either way.
   */
  admit(ask: EdgeAsk, queue: RunQueue<EdgeWork>, deadlineAt: number, now: number): Admission {
    const { application, plan, progress, claim } = ask;
    const test = (without: ReadonlySet<string>): EdgeStep | null => {
      if (queue.length - without.size >= this.#limit) return null;
      return this.#step(ask, queue, deadlineAt, now, without);
    };
    let step = test(NOBODY);
    let evicted: string[] = [];
    const leastMs = step?.kind === "run" ? 0 : this.queuedMs(leastWorkMs(application, plan, progress));
    if (leastMs > 0) {
      const waiting = queue.waiting.filter(({ begun }) => !begun);
      evicted = this.#shares.evictable(claim, leastMs, waiting, now, (ids) => test(ids)?.kind === "run");
      if (evicted.length > 0) step = test(new Set(evicted));
    }
    if (step?.kind === "run") this.offerNext(ask, now);
    else this.#offerAll(ask, now);
    return { step, evicted };
  }

  /** At a stage boundary of work that is not in the queue: what still fits, never deeper than before. */
  next(ask: EdgeAsk, queue: RunQueue<EdgeWork>, deadlineAt: number, now: number): EdgeStep {
    return this.#step(ask, queue, deadlineAt, now, NOBODY);
  }

  #step(
    { application, plan, progress }: EdgeAsk,
    queue: RunQueue<EdgeWork>,
    deadlineAt: number,
    now: number,
    without: ReadonlySet<string>,
  ): EdgeStep {
    const fitsMs = this.fittingMs(queue.slackMs(deadlineAt, now, without));
    const deeperMs = this.fittingMs(deeperFitsMs(deadlineAt, queue.aheadMs(deadlineAt, now), now));
    return nextStep(application, plan, progress, fitsMs, deeperMs);
  }

  /** Offers the next stage that the plan asks for, whether there is time for it or not. Once per boundary. */
  offerNext(ask: EdgeAsk, now: number): void {
    const wanted = wantedStep(ask);
    if (wanted.kind !== "run") return;
    this.#offer(ask.application, rungAt(ask.application, wanted.rung).referenceMs.edge, now);
  }

  /** Of a job that is refused nobody learns at which exit it would have stopped: all it asked for counts. */
  #offerAll(ask: EdgeAsk, now: number): void {
    const wanted = wantedStep(ask);
    if (wanted.kind === "run") this.#offer(ask.application, wanted.workMs, now);
  }

  #offer(application: Application, workMs: number, now: number): void {
    let fullRunMs = this.#fullRuns.get(application);
    if (fullRunMs === undefined) this.#fullRuns.set(application, (fullRunMs = edgeBounds([application]).fullRunMs));
    this.#price.offer(this.predictedMs(workMs), now, this.predictedMs(fullRunMs));
  }

  charge(claim: Claim, workMs: number, now: number): Bill {
    this.#shares.charge(claim, workMs, now);
    return { claim, chargedMs: workMs, at: now, usedMs: 0 };
  }

  /** Books what was used instead of what was expected. */
  settle({ claim, chargedMs, usedMs, at }: Bill, now: number): void {
    if (usedMs < chargedMs) this.#shares.refund(claim, chargedMs - usedMs, at, now);
    else if (usedMs > chargedMs) this.#shares.charge(claim, usedMs - chargedMs, now);
  }
}

/** What the plan would run next if time were no matter. */
function wantedStep({ application, plan, progress }: EdgeAsk): EdgeStep {
  return nextStep(application, plan, { ...progress, ceiling: undefined }, Number.POSITIVE_INFINITY);
}
