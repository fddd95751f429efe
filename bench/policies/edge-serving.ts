/**
 * EdgeServing-like (2026; EVALUATION §5.17: the published idea, the score inferred). When a machine is idle, each pair of
 * what could run next (application, exit, batch) is run in thought, and the one after which the fewest waiting requests
 * would miss their deadlines is run; of equals the most accurate, then the one with the most in it. A request misses when
 * even its quickest own run no longer fits.
 */
import type { Application } from "../../protocol/application.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import { leastWaiting } from "./kit/routing.ts";
import { MOST_IN_BATCH, type Choice, type Job, type Selector, type Server } from "./kit/server.ts";
import { chosen } from "./kit/selectors.ts";
import { Serving, type Ask, type Route, type ServingOptions } from "./kit/serving.ts";

export type EdgeServingParameters = { machines: "nodes" | "all"; batches: readonly number[] };

export const EDGE_SERVING: EdgeServingParameters = { machines: "all", batches: [1, 2, 4, 8, 16] };

class EdgeServingSelector implements Selector {
  readonly #parameters: EdgeServingParameters;

  constructor(parameters: EdgeServingParameters) {
    this.#parameters = parameters;
  }

  choose(server: Server, now: number): Choice {
    const heads = new Map<Application, Job>();
    for (const job of server.queue) {
      const { application } = job.request.user;
      if (!heads.has(application)) heads.set(application, job);
    }
    const latest = this.#latestStarts(server);
    let best: (Choice & { misses: number; accuracy: number; count: number }) | null = null;
    for (const [application, head] of heads) {
      const alike = server.alike(head, MOST_IN_BATCH);
      const works = server.frontier(application);
      const [quickest] = works;
      if (!quickest) continue;
      const ownMs = server.upperMs(quickest, 1);
      for (const batch of this.#parameters.batches) {
        if (batch > alike.length && batch > 1) break;
        const jobs = alike.slice(0, batch);
        for (const work of works) {
          const endsAt = now + server.upperMs(work, jobs.length);
          // Those who run leave the queue: of them it counts whether they end in time, not whether they could start then.
          const waiting = below(latest, endsAt) - jobs.filter(({ dueAt }) => dueAt - ownMs < endsAt).length;
          const misses = waiting + jobs.filter(({ dueAt }) => dueAt < endsAt).length;
          const { accuracy } = work;
          const count = jobs.length;
          const better =
            !best ||
            misses < best.misses ||
            (misses === best.misses &&
              (accuracy > best.accuracy || (accuracy === best.accuracy && count > best.count)));
          if (better) best = { work, jobs, misses, accuracy, count };
        }
      }
    }
    if (best) return best;
    const head = server.queue[0] as Job;
    return { work: chosen(server, head), jobs: [head] };
  }

  /** Sorted instants after which each waiting request is lost. */
  #latestStarts(server: Server): number[] {
    const own = new Map<Application, number>();
    const starts = server.queue.map(({ request, dueAt }) => {
      const { application } = request.user;
      let ms = own.get(application);
      if (ms === undefined) {
        const [quickest] = server.frontier(application);
        own.set(application, (ms = quickest ? server.upperMs(quickest, 1) : 0));
      }
      return dueAt - ms;
    });
    return starts.sort((a, b) => a - b);
  }
}

/** How many of the sorted values are below. */
function below(sorted: readonly number[], value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

class EdgeServing extends Serving {
  readonly #parameters: EdgeServingParameters;

  constructor(world: World, options: ServingOptions, parameters: EdgeServingParameters) {
    super(world, options, new EdgeServingSelector(parameters));
    this.#parameters = parameters;
  }

  protected route({ task: { request } }: Ask): Route {
    const edge = this.#parameters.machines === "all" ? this.edgeOf(request) : undefined;
    const known = leastWaiting(this.nodes, edge, (one) => this.waitMs(one));
    return known && { known, rung: -1 };
  }
}

export const edgeServing =
  (parameters: EdgeServingParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new EdgeServing(world, options, parameters);
