/**
 * The static family (EVALUATION §5.1): one rung for everybody, whatever comes. Fast is the cheapest rung at the edge, best
 * the most accurate one at the node with the least work. With a plain queue these are the ends of what no control can do.
 */
import type { World, PolicyOf } from "../simulator/world.ts";
import type { Known } from "./kit/serving.ts";
import { Serving, type Ask, type Route, type ServingOptions } from "./kit/serving.ts";
import { FixedRungs } from "./kit/selectors.ts";
import { MOST_IN_BATCH } from "./kit/server.ts";

export type StaticParameters = {
  /** 0 the quickest rung, 1 the most accurate one, between them the rung at that share of the ladder. */
  depth: number;
  machines: "edge" | "nodes" | "all";
  limit: number;
};

export const FAST: StaticParameters = { depth: 0, machines: "edge", limit: 1 };
export const BEST: StaticParameters = { depth: 1, machines: "nodes", limit: MOST_IN_BATCH };

class Static extends Serving {
  readonly #parameters: StaticParameters;

  constructor(world: World, options: ServingOptions, parameters: StaticParameters) {
    super(world, options, new FixedRungs(parameters.limit));
    this.#parameters = parameters;
  }

  protected route({ task: { request } }: Ask): Route {
    const { machines, depth } = this.#parameters;
    const edge = this.edgeOf(request);
    const candidates: Known[] = [
      ...(machines === "edge" ? [] : this.nodes),
      ...(machines !== "nodes" && edge ? [edge] : []),
    ];
    const least = candidates.reduce((best, one) => (this.waitMs(one) < this.waitMs(best) ? one : best));
    const works = least.server.frontier(request.user.application);
    const work = works[Math.round(depth * (works.length - 1))];
    return work ? { known: least, rung: work.rung } : null;
  }
}

export const fixed =
  (parameters: StaticParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new Static(world, options, parameters);
