/**
 * Token-bucket offloading (SEC 2021; EVALUATION §5.13): each request first runs a weak exit, on the device where there is
 * one and at the edge otherwise; whether a node's full model is worth asking is decided by the gain expected from the
 * exit's confidence and by the tokens left. Each user's bucket fills at the rate at which the nodes could serve everybody
 * alike, estimated from what the front sees; θ is solved offline per income.
 */
import { averageRight, rightGiven, rungAt } from "../../control/ladder.ts";
import type { Application } from "../../protocol/application.ts";
import type { Offered, User } from "../simulator/workload.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import { deviceWorks, runOnDevice } from "./kit/device-run.ts";
import { leastWaiting } from "./kit/routing.ts";
import { FixedRungs } from "./kit/selectors.ts";
import { Serving, type Ask, type Route, type ServingOptions, type Task } from "./kit/serving.ts";
import { tokenThresholds } from "./token-table.ts";

export type TokenParameters = {
  /** The weak exit is the deepest that takes at most this share of the deadline. */
  weakShare: number;
  /** Offloads a bucket holds at most. */
  depth: number;
  /** Of the nodes' capacity for full runs. */
  utilisation: number;
  limit: number;
};

export const TOKENS: TokenParameters = { weakShare: 0.25, depth: 8, utilisation: 0.9, limit: 16 };

/** Units an offload costs: incomes are multiples of 1/COST offloads per request. */
const COST = 10;
const RATE_WEIGHT_MS = 1000;
/** Thresholds are solved offline: once for all worlds. */
const SOLVED = new Map<string, readonly number[]>();

class TokenBucket extends Serving {
  readonly #parameters: TokenParameters;
  readonly #buckets = new Map<User, number>();
  /** Requests a second of all, as a fading mean. */
  #rate = { perS: 0, at: 0 };

  constructor(world: World, options: ServingOptions, parameters: TokenParameters) {
    super(world, options, new FixedRungs(parameters.limit));
    this.#parameters = parameters;
  }

  override arrive(request: Offered): void {
    this.#count();
    const task = this.task(request);
    const { device } = task.side;
    const { application, deadlineMs } = request.user;
    const bucket = this.#fill(request.user);
    const most = this.#parameters.weakShare * deadlineMs;
    const works = device ? deviceWorks(application) : [];
    const weak = works.findLast(
      ({ referenceMs }) => device && device.aheadMs(task.dueAt) + device.slowdown * referenceMs <= most,
    );
    if (!weak) {
      // No exit in time at home: the edge gives the weak one, or a node the strong one where a token is left.
      const strong = bucket >= COST && averageGain(application, 0) >= this.#threshold(request.user, bucket, 0);
      if (strong) this.#spend(request.user);
      this.send(task, "input", { rung: strong ? best(application) : 0 });
      return;
    }
    this.releaseAtDeadline(task);
    runOnDevice(
      this.world,
      task,
      weak.way,
      () => !task.finished,
      () => this.#decide(task, weak.rung),
    );
  }

  protected route({ rung, task: { request } }: Ask): Route {
    if (rung === undefined) return null;
    const edge = this.edgeOf(request);
    const { application } = request.user;
    if (rung !== best(application) && edge?.server.work(application, rung)) return { known: edge, rung };
    const known = leastWaiting(this.nodes, undefined, (one) => this.waitMs(one));
    return known && { known, rung };
  }

  #decide(task: Task, exit: number): void {
    const { request } = task;
    const { application } = request.user;
    const held = task.exits.at(-1);
    if (!held || task.finished) return this.finishAtHome(task, "dropped");
    const strong = best(application);
    const gain = rightGiven(application, exit, held.bin, strong) - rightGiven(application, exit, held.bin, exit);
    const bucket = this.#buckets.get(request.user) ?? 0;
    if (strong === exit || bucket < COST || gain < this.#threshold(request.user, bucket, exit)) {
      return this.finishAtHome(task, "onTime");
    }
    this.#spend(request.user);
    this.send(task, "input", { rung: strong });
  }

  #spend(user: User): void {
    this.#buckets.set(user, (this.#buckets.get(user) ?? 0) - COST);
  }

  #fill(user: User): number {
    const full = COST * this.#parameters.depth;
    const bucket = Math.min(full, (this.#buckets.get(user) ?? full) + this.#income(user.application));
    this.#buckets.set(user, bucket);
    return bucket;
  }

  /** Units a request brings, such that all requests' offloads fill the nodes. */
  #income(application: Application): number {
    const strong = best(application);
    const perS = this.nodes.reduce((sum, { server }) => {
      const work = server.work(application, strong);
      return work ? sum + (1000 * server.lanes) / server.meanMs(work, 1) : sum;
    }, 0);
    const share = (this.#parameters.utilisation * perS) / Math.max(1, this.#rate.perS);
    return Math.min(COST, Math.max(1, Math.round(COST * share)));
  }

  #threshold({ application }: User, bucket: number, exit: number): number {
    const income = this.#income(application);
    const depth = COST * this.#parameters.depth;
    const key = `${application.name} ${application.version} ${exit} ${income} ${depth}`;
    let table = SOLVED.get(key);
    if (!table) {
      table = tokenThresholds({ gains: gainsOf(application, exit), income, cost: COST, depth });
      SOLVED.set(key, table);
    }
    return table[bucket] ?? Number.POSITIVE_INFINITY;
  }

  #count(): void {
    const { now } = this.world.events;
    const faded = Math.exp(-(now - this.#rate.at) / RATE_WEIGHT_MS);
    this.#rate = { perS: this.#rate.perS * faded + 1000 / RATE_WEIGHT_MS, at: now };
  }
}

function best({ rungs }: Application): number {
  return rungs.reduce((top, rung, i) => (rung.quality.validation > (rungs[top]?.quality.validation ?? 0) ? i : top), 0);
}

function averageGain(application: Application, exit: number): number {
  return averageRight(application, best(application)) - averageRight(application, exit);
}

function gainsOf(application: Application, exit: number): { gain: number; share: number }[] {
  const { evidence } = rungAt(application, exit);
  const total = evidence.reduce((sum, { count }) => sum + count, 0);
  const strong = best(application);
  return evidence.map(({ count }, bin) => ({
    gain: rightGiven(application, exit, bin, strong) - rightGiven(application, exit, bin, exit),
    share: count / total,
  }));
}

export const tokenBucket =
  (parameters: TokenParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new TokenBucket(world, options, parameters);
