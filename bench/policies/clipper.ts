/**
 * Clipper-AIMD (NSDI 2017, the paper; EVALUATION §5.2): one fixed rung, and per machine and application a batch limit that
 * grows by one with each full batch that executed in time and falls by a tenth with each that did not. Batches never wait
 * to fill. The feedback is execution time, never end-to-end lateness. Clipper's front end answers with a default at the
 * deadline; here that request is counted as what its core drops.
 */
import type { Application } from "../../protocol/application.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import { leastWaiting } from "./kit/routing.ts";
import { MOST_IN_BATCH, type Batch, type Choice, type Job, type Selector, type Server } from "./kit/server.ts";
import { chosen } from "./kit/selectors.ts";
import { Serving, type Ask, type Route, type ServingOptions } from "./kit/serving.ts";

export type ClipperParameters = {
  /** Share of the ladder: 0 low, 0.5 middle, 1 high. */
  depth: number;
  machines: "nodes" | "all";
  /** Of the deadline left after the network, for execution. */
  executionShare: number;
  backoff: number;
};

export const CLIPPER: Omit<ClipperParameters, "depth"> = { machines: "nodes", executionShare: 0.5, backoff: 0.9 };

class AimdSelector implements Selector {
  readonly #parameters: ClipperParameters;
  readonly #limits = new Map<Server, Map<Application, number>>();

  constructor(parameters: ClipperParameters) {
    this.#parameters = parameters;
  }

  choose(server: Server): Choice {
    const head = server.queue[0] as Job;
    const jobs = server.alike(head, Math.floor(this.#limit(server, head.request.user.application)));
    return { work: chosen(server, head), jobs };
  }

  ended(server: Server, { jobs }: Batch, tookMs: number): void {
    const [first] = jobs;
    if (!first) return;
    const { application, deadlineMs } = first.request.user;
    const limit = this.#limit(server, application);
    const { executionShare, backoff } = this.#parameters;
    let next = limit;
    if (tookMs > executionShare * deadlineMs) next = Math.max(1, backoff * limit);
    else if (jobs.length >= Math.floor(limit)) next = Math.min(MOST_IN_BATCH, limit + 1);
    this.#limits.get(server)?.set(application, next);
  }

  #limit(server: Server, application: Application): number {
    const limits = this.#limits.get(server) ?? new Map<Application, number>();
    this.#limits.set(server, limits);
    const limit = limits.get(application) ?? 1;
    limits.set(application, limit);
    return limit;
  }
}

class Clipper extends Serving {
  readonly #parameters: ClipperParameters;

  constructor(world: World, options: ServingOptions, parameters: ClipperParameters) {
    super(world, options, new AimdSelector(parameters));
    this.#parameters = parameters;
  }

  protected route({ task: { request } }: Ask): Route {
    const { machines, depth } = this.#parameters;
    const known = leastWaiting(this.nodes, machines === "all" ? this.edgeOf(request) : undefined, (one) =>
      this.waitMs(one),
    );
    if (!known) return null;
    const works = known.server.frontier(request.user.application);
    const work = works[Math.round(depth * (works.length - 1))];
    return work ? { known, rung: work.rung } : null;
  }
}

export const clipper =
  (parameters: ClipperParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new Clipper(world, options, parameters);
