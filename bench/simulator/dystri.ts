/** Dystri's own policy: nothing but the project's control code, put into the world object by object. */
import { Controller, type ControllerEffects } from "../../control/controller.ts";
import type { Application } from "../../protocol/application.ts";
import { Front, type Backend } from "./client.ts";
import { DeviceClient } from "./device-client.ts";
import { CoordinatorSite } from "./coordinator-site.ts";
import { EdgeSite } from "./edge-site.ts";
import type { Fault } from "./faults.ts";
import { Lens } from "./lens.ts";
import { NodeSite } from "./node-site.ts";
import { luck } from "./random.ts";
import type { Offered, User } from "./workload.ts";
import { LEG_STRIDE, LEGS, type Policy, type World } from "./world.ts";

export class Dystri implements Policy {
  readonly #world: World;
  readonly #coordinator: CoordinatorSite;
  readonly #edges: ReadonlyMap<string, EdgeSite[]>;
  readonly #nodes: ReadonlyMap<string, NodeSite>;
  readonly #controllers = new Map<string, Controller>();
  readonly #front: Front;
  readonly #clients: DeviceClient;
  readonly #applications: readonly Application[];
  #exchanges = 0;

  readonly #lens: Lens;

  constructor(world: World, lens: Lens = new Lens()) {
    this.#world = world;
    this.#lens = lens;
    this.#applications = world.applications.map((application) => lens.application(application));
    this.#coordinator = new CoordinatorSite(world);
    this.#edges = new Map(
      [...world.edges].map(([platform, sites]) => [
        platform,
        sites.map((site, i) => new EdgeSite(world, `edge:${platform}:${i}`, platform, site)),
      ]),
    );
    this.#nodes = new Map(world.nodes.map(({ spec }, i) => [spec.name, new NodeSite(world, i, this.#coordinator)]));
    this.#front = new Front(world, this.#backend());
    this.#clients = new DeviceClient(world, this.#front, lens);
  }

  arrive(request: Offered): void {
    const { device, access, deadlineMs } = request.user;
    if (device || access) this.#clients.arrive(request);
    else {
      this.#front.serve(request, { remainingMs: deadlineMs, evidence: [] }, ({ outcome }) =>
        this.#world.finish(request, outcome),
      );
    }
  }

  fault(fault: Fault): void {
    const node = "node" in fault ? this.#nodes.get(this.#world.nodes[fault.node]?.spec.name ?? "") : undefined;
    if (fault.kind === "die") this.#world.events.after(fault.forMs, () => node?.reboot());
    if (fault.kind === "silence") node?.mute(fault.forMs);
    if (fault.kind === "evict") node?.evict();
    if (fault.kind === "coordinator") this.#coordinator.fail(fault.forMs);
  }

  #backend(): Backend {
    const world = this.#world;
    const { events, plant } = world;
    return {
      plan: (request, question, reply) => {
        const user = request.user;
        events.after(world.way(plant.object, request.id, LEGS.plan), () => {
          world.messages.count("controller", user.name, "plan");
          const controller = this.#controller(user);
          const now = this.#at(user);
          const asked = this.#lens.question(question, user.application.platform, now);
          const seen = user.device ? controller.seen(asked, `p${request.id}`, now) : [];
          const { reply: planned, effects } = controller.plan(asked, now, `p${request.id}`);
          this.#carryOut(user, effects);
          const told = planned.ok ? { ...planned, plan: this.#lens.plan(planned.plan) } : planned;
          events.after(world.way(plant.object, request.id, LEGS.plan + 1), () => reply(told, seen));
        });
      },
      report: (request, report) => {
        const user = request.user;
        events.after(world.way(plant.object, request.id, LEGS.report), () => {
          world.messages.count("controller", user.name, "report");
          const { now, later } = this.#lens.report(report);
          this.#carryOut(user, this.#controller(user).report(now, this.#at(user)));
          if (!later) return;
          events.after(this.#lens.options.staleMs, () => {
            this.#carryOut(user, this.#controller(user).report(later, this.#at(user)));
          });
        });
      },
      edge: (request, action, claim, reply) => {
        const { application } = request.user;
        const sites = this.#edges.get(application.platform) ?? [];
        // The platform, not a policy, chooses the isolate.
        const site =
          sites[Math.floor(luck(world.seed, request.id, LEGS.edge + action.call * LEG_STRIDE) * sites.length)];
        const leg = LEGS.edge + action.call * LEG_STRIDE;
        const { plan, option, start, remainingMs, evidence } = action;
        const job = { application: application.name, start, plan, option, remainingMs, topK: 1, evidence, claim };
        let cancel: (() => void) | null = null;
        let gone = false;
        events.after(world.way(plant.edge.call, request.id, leg), () => {
          cancel =
            site?.open(job, application, request, (result) =>
              events.after(world.way(plant.edge.call, request.id, leg + 1), () => {
                gone = true;
                reply(result);
              }),
            ) ?? null;
        });
        return () => {
          if (!gone) events.after(world.way(plant.edge.call, request.id, leg), () => cancel?.());
        };
      },
      node: (request, action, claim, reply) => {
        const { application } = request.user;
        const site = this.#nodes.get(action.node);
        const index = site?.index ?? 0;
        const { option, start, remainingMs } = action;
        const { rung, minRung } = option;
        const ticket = `${request.id}.${action.call}`;
        const job = { ticket, application: application.name, start, rung, minRung, remainingMs, topK: 1, claim };
        const thereMs = world.gatewayWay(request.id, index, 0);
        events.after(thereMs, () =>
          site?.submit(job, request, (told) => events.after(world.gatewayWay(request.id, index, 1), () => reply(told))),
        );
        return () => events.after(thereMs, () => site?.cancel(ticket));
      },
    };
  }

  #controller(user: User): Controller {
    let controller = this.#controllers.get(user.name);
    if (!controller) {
      controller = new Controller(user.name, this.#applications, null);
      this.#controllers.set(user.name, controller);
    }
    return controller;
  }

  #carryOut(user: User, { exchange }: ControllerEffects): void {
    if (!exchange) return;
    const { events, plant } = this.#world;
    const draw = this.#exchanges++;
    events.after(this.#world.way(plant.coordinator, draw, LEGS.exchange), () => {
      const reply = this.#coordinator.exchange(exchange);
      if (!reply) return;
      const told = this.#lens.exchange(reply);
      // Who has never been told anything knows no node: the first word is always fresh.
      const staleMs = exchange.knownEpoch === 0 ? 0 : this.#lens.options.staleMs;
      events.after(this.#world.way(plant.coordinator, draw, LEGS.exchange + 1) + staleMs, () => {
        this.#world.messages.count("controller", user.name, "exchange reply");
        this.#controller(user).absorb(told, this.#at(user));
      });
    });
  }

  #at(user: User): number {
    return this.#world.clock(user.name);
  }
}
