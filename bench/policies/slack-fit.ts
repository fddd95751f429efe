/**
 * SlackFit of SuperServe (NSDI 2025; EVALUATION §5.6, from memory of the bucket rule, so "-like"): offline, Pareto-best
 * (rung, batch) pairs in even buckets of latency, each bucket keeping the pair with the largest batch; when a machine is
 * idle the highest bucket whose latency fits the slack of the most urgent request is served.
 */
import type { Application } from "../../protocol/application.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import type { Work } from "./kit/ladder-profile.ts";
import { leastWaiting } from "./kit/routing.ts";
import { MOST_IN_BATCH, type Choice, type Job, type Selector, type Server } from "./kit/server.ts";
import { Serving, type Ask, type Route, type ServingOptions } from "./kit/serving.ts";
import { batchMs } from "../../control/node-work.ts";

export type SlackFitParameters = { buckets: number; machines: "nodes" | "all"; limit: number };

export const SLACK_FIT: SlackFitParameters = { buckets: 16, machines: "nodes", limit: MOST_IN_BATCH };

type Pair = { work: Work; batch: number };

class SlackFitSelector implements Selector {
  readonly #parameters: SlackFitParameters;
  readonly #tables = new Map<Server, Map<Application, Pair[]>>();

  constructor(parameters: SlackFitParameters) {
    this.#parameters = parameters;
  }

  choose(server: Server, now: number): Choice {
    const head = server.queue[0] as Job;
    const { application } = head.request.user;
    const pairs = this.#table(server, application);
    const slackMs = head.dueAt - now;
    const pair = pairs.findLast(({ work, batch }) => server.upperMs(work, batch) <= slackMs) ?? pairs[0];
    if (!pair) throw new RangeError(`${server.name} cannot run ${application.name}`);
    return { work: pair.work, jobs: server.alike(head, pair.batch) };
  }

  /** Buckets by rising latency, empty ones left out. */
  #table(server: Server, application: Application): Pair[] {
    const tables = this.#tables.get(server) ?? new Map<Application, Pair[]>();
    this.#tables.set(server, tables);
    let table = tables.get(application);
    if (!table) tables.set(application, (table = this.#made(server, application)));
    return table;
  }

  #made(server: Server, application: Application): Pair[] {
    const { buckets, limit } = this.#parameters;
    const all: (Pair & { ms: number })[] = [];
    for (const work of server.frontier(application)) {
      for (let batch = 1; batch <= (server.batching ? limit : 1); batch++) {
        all.push({ work, batch, ms: batchMs(work.stages, batch) });
      }
    }
    const pareto = all.filter(
      (one) =>
        !all.some((other) => other.ms < one.ms && other.batch >= one.batch && other.work.accuracy >= one.work.accuracy),
    );
    const least = Math.min(...pareto.map(({ ms }) => ms));
    const most = Math.max(...pareto.map(({ ms }) => ms));
    const kept = new Map<number, Pair & { ms: number }>();
    for (const one of pareto) {
      const bucket =
        most > least ? Math.min(buckets - 1, Math.floor((buckets * (one.ms - least)) / (most - least))) : 0;
      const known = kept.get(bucket);
      const better =
        !known || one.batch > known.batch || (one.batch === known.batch && one.work.accuracy > known.work.accuracy);
      if (better) kept.set(bucket, one);
    }
    return [...kept].sort(([a], [b]) => a - b).map(([, pair]) => pair);
  }
}

class SlackFit extends Serving {
  readonly #parameters: SlackFitParameters;

  constructor(world: World, options: ServingOptions, parameters: SlackFitParameters) {
    super(world, options, new SlackFitSelector(parameters));
    this.#parameters = parameters;
  }

  protected route({ task: { request } }: Ask): Route {
    const edge = this.#parameters.machines === "all" ? this.edgeOf(request) : undefined;
    const known = leastWaiting(this.nodes, edge, (one) => this.waitMs(one));
    return known && { known, rung: -1 };
  }
}

export const slackFit =
  (parameters: SlackFitParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new SlackFit(world, options, parameters);
