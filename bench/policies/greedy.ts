/**
 * Greedy slack, in four modes (EVALUATION §5.4; the model selectors of the RAMSIS artifact, re-implemented): the most
 * accurate rung whose batch of all that waits passes the mode's tests. The machine with the least work gets the request.
 */
import type { PolicyOf, World } from "../simulator/world.ts";
import { MOST_IN_BATCH, type Choice, type Job, type Selector, type Server } from "./kit/server.ts";
import { deepest } from "./kit/selectors.ts";
import { leastWaiting } from "./kit/routing.ts";
import { Serving, type Ask, type Route, type ServingOptions } from "./kit/serving.ts";

export type GreedyMode = "aggressive" | "conservative" | "no-load" | "no-slo";

export type GreedyParameters = { mode: GreedyMode; machines: "nodes" | "all"; limit: number };

class GreedySelector implements Selector {
  readonly #parameters: GreedyParameters;

  constructor(parameters: GreedyParameters) {
    this.#parameters = parameters;
  }

  choose(server: Server, now: number): Choice {
    const { mode, limit } = this.#parameters;
    const head = server.queue[0] as Job;
    const { application, deadlineMs } = head.request.user;
    const works = server.frontier(application, head.from);
    const rate = server.rate() / server.lanes;
    const perS = (ms: number, batch: number): number => (1000 * batch) / ms;
    const alike = server.alike(head, limit);
    let most = 1;
    const carrying = works.findLast((work) => {
      for (let batch = Math.min(limit, MOST_IN_BATCH); batch >= 1; batch--) {
        const ms = server.upperMs(work, batch);
        if (perS(ms, batch) >= rate && ms <= deadlineMs / 2) {
          most = batch;
          return true;
        }
      }
      return false;
    });
    if (!carrying) most = limit;
    const jobs = alike.slice(0, most);
    const slackMs = head.dueAt - now;
    const work = deepest(server, head, (one) => {
      const ms = server.upperMs(one, jobs.length);
      const deadline = ms <= slackMs;
      const slo = mode === "aggressive" || mode === "no-slo" || ms <= deadlineMs / 2;
      const load = mode === "aggressive" || mode === "no-load" || perS(ms, jobs.length) >= rate;
      return deadline && slo && load;
    });
    return { work, jobs };
  }
}

class Greedy extends Serving {
  readonly #parameters: GreedyParameters;

  constructor(world: World, options: ServingOptions, parameters: GreedyParameters) {
    super(world, options, new GreedySelector(parameters));
    this.#parameters = parameters;
  }

  protected route({ task: { request } }: Ask): Route {
    const known = leastWaiting(
      this.nodes,
      this.#parameters.machines === "all" ? this.edgeOf(request) : undefined,
      (one) => this.waitMs(one),
    );
    return known && { known, rung: -1 };
  }
}

export const greedy =
  (parameters: GreedyParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new Greedy(world, options, parameters);
