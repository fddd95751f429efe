/**
 * The plainest policy: always the same rung at the same tier, first come first served, at the machine to which the front
 * has the least outstanding. No plan, no queue limits; with `drop`, what is predicted late is dropped at its turn. A bound
 * for others, and the measure of what the world itself costs.
 */
import { chain, chainReferenceMs, rungAt } from "../../control/ladder.ts";
import type { Site } from "./site.ts";
import type { Offered } from "./workload.ts";
import { LEGS, type Direction, type Policy, type PolicyOf, type World } from "./world.ts";

export type FixedRung = { tier: "edge" | "node"; rung: (request: Offered) => number; drop: boolean };

type Server = {
  site: Site;
  node: number;
  lanes: number;
  running: number;
  queue: Offered[];
  /** Sent there and not yet back, as the front counts. */
  outstanding: number;
};

class FixedRungPolicy implements Policy {
  readonly #world: World;
  readonly #rule: FixedRung;
  readonly #servers: ReadonlyMap<string, Server[]>;

  constructor(world: World, rule: FixedRung) {
    this.#world = world;
    this.#rule = rule;
    const server = (site: Site, node: number, lanes: number): Server => ({
      site,
      node,
      lanes,
      running: 0,
      queue: [],
      outstanding: 0,
    });
    const nodes = world.nodes.map(({ site, spec }, i) => server(site, i, spec.cores));
    this.#servers = new Map(
      [...world.edges].map(([platform, sites]) => [
        platform,
        rule.tier === "node" ? nodes : sites.map((site) => server(site, -1, 1)),
      ]),
    );
  }

  arrive(request: Offered): void {
    const servers = this.#servers.get(request.user.application.platform) ?? [];
    const least = servers.reduce((best, one) => (one.outstanding < best.outstanding ? one : best));
    least.outstanding++;
    this.#world.events.after(this.#way(least, request, 0), () => {
      least.queue.push(request);
      this.#next(least);
    });
  }

  #next(server: Server): void {
    while (server.running < server.lanes) {
      const request = server.queue.shift();
      if (!request) return;
      const { user } = request;
      const rung = this.#rule.rung(request);
      const stages = chain(user.application, rung, "input") ?? [];
      const ms = chainReferenceMs(user.application, stages, this.#rule.tier);
      const left = request.atMs + user.deadlineMs - this.#world.events.now - this.#way(server, request, 1);
      if (this.#rule.drop && ms > left) {
        server.outstanding--;
        this.#world.finish(request, { status: "dropped", rung: -1, node: -1, degraded: false, predictedMs: 0 });
        continue;
      }
      server.running++;
      this.#run(server, request, stages, 0, rung);
    }
  }

  #run(server: Server, request: Offered, stages: readonly number[], at: number, rung: number): void {
    const stage = stages[at];
    if (stage === undefined) {
      server.running--;
      this.#world.events.after(this.#way(server, request, 1), () => {
        server.outstanding--;
        const predictedMs = this.#world.events.now - request.atMs;
        this.#world.finish(request, { status: "onTime", rung, node: server.node, degraded: false, predictedMs });
      });
      this.#next(server);
      return;
    }
    const ms = rungAt(request.user.application, stage).referenceMs[this.#rule.tier];
    const pace = server.node < 0 ? 1 : (this.#world.nodes[server.node]?.spec.pace ?? 1);
    server.site.compute(ms * pace, [request.id], stage, () => this.#run(server, request, stages, at + 1, rung));
  }

  /** From the front to the machine, or back. */
  #way(server: Server, request: Offered, back: Direction): number {
    const world = this.#world;
    if (server.node < 0) return world.way(world.plant.edge.call, request.id, LEGS.edge + back);
    const bytes = back === 0 ? request.user.application.input.bytes : 0;
    return world.gatewayWay(request.id, server.node, back) + world.socketWay(request.id, server.node, back, bytes);
  }
}

export const fixedRung =
  (rule: FixedRung): PolicyOf =>
  (world) =>
    new FixedRungPolicy(world, rule);

/** The cheapest rung at the edge. */
export const staticFast = fixedRung({ tier: "edge", rung: () => 0, drop: false });

/** The best rung that nodes run. */
export const staticBest = (drop: boolean): PolicyOf =>
  fixedRung({ tier: "node", rung: ({ user }) => bestRung(user.application.rungs), drop });

function bestRung(rungs: Offered["user"]["application"]["rungs"]): number {
  return rungs.reduce(
    (best, rung, i) =>
      rung.tiers.includes("node") && rung.quality.validation > (rungs[best]?.quality.validation ?? 0) ? i : best,
    0,
  );
}
