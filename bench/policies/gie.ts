/**
 * The headroom rule of the Gateway API Inference Extension (EVALUATION §5.14): per machine, headroom is the slack less
 * the predicted time with what is queued there; the best rung that has some headroom anywhere goes to the machine with the
 * least positive one (pack) or with the most. With none, requests of a priority of 0 or more go to the least loaded
 * machine at its quickest rung. Predictions are of what the front has in flight, rung by rung.
 */
import type { PolicyOf, World } from "../simulator/world.ts";
import { FixedRungs } from "./kit/selectors.ts";
import { Serving, type Ask, type Known, type Route, type ServingOptions } from "./kit/serving.ts";

export type GieParameters = { packing: "pack" | "spread"; machines: "nodes" | "all"; shed: boolean; limit: number };

export const GIE: GieParameters = { packing: "pack", machines: "all", shed: false, limit: 16 };

class Gie extends Serving {
  readonly #parameters: GieParameters;

  constructor(world: World, options: ServingOptions, parameters: GieParameters) {
    super(world, options, new FixedRungs(parameters.limit));
    this.#parameters = parameters;
  }

  protected route(ask: Ask): Route {
    const { request } = ask.task;
    const { application } = request.user;
    const { packing, machines, shed } = this.#parameters;
    const edge = machines === "all" ? this.edgeOf(request) : undefined;
    const all = edge ? [...this.nodes, edge] : this.nodes;
    let best: { known: Known; rung: number; accuracy: number; headMs: number } | null = null;
    for (const known of all) {
      const leftMs = this.machineMs(known, ask) - known.outstandingMs / known.server.lanes;
      for (const work of known.server.frontier(application)) {
        const headMs = leftMs - known.server.upperMs(work, 1);
        if (headMs < 0) continue;
        const closer = packing === "pack" ? headMs < (best?.headMs ?? 0) : headMs > (best?.headMs ?? 0);
        if (!best || work.accuracy > best.accuracy || (work.accuracy === best.accuracy && closer)) {
          best = { known, rung: work.rung, accuracy: work.accuracy, headMs };
        }
      }
    }
    if (best) return best;
    if (shed) return null;
    const least = all.reduce((a, b) => (b.outstandingMs / b.server.lanes < a.outstandingMs / a.server.lanes ? b : a));
    const quickest = least.server.frontier(application)[0];
    return quickest ? { known: least, rung: quickest.rung } : null;
  }
}

export const gie =
  (parameters: GieParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new Gie(world, options, parameters);
