/**
 * The world that every policy is put into: virtual time, machines, ways between them, inputs, faults, and the book of
 * what became of each request. A policy is handed the requests as they arrive and must finish each of them once. It may
 * use the machines and the ways; what it knows of the others' state it must have been told by a message.
 */
import { chain, largestGain, rungAt } from "../../control/ladder.ts";
import type { Application } from "../../protocol/application.ts";
import type { NodeRegistration, RungProfile } from "../../protocol/fleet.ts";
import { EventQueue } from "./event-queue.ts";
import type { Fault } from "./faults.ts";
import type { InputTable } from "./inputs.ts";
import { journeyMs, type LinkSpec } from "./link.ts";
import { Messages } from "./messages.ts";
import { Random } from "./random.ts";
import { Records, type Outcome } from "./records.ts";
import { Site } from "./site.ts";
import { UserSide } from "./user-side.ts";
import type { Offered, User, Workload } from "./workload.ts";

export type NodeSpec = {
  name: string;
  /** Pieces of work at a time. */
  cores: number;
  /** Milliseconds per reference millisecond, as the agent's own profile says. */
  pace: number;
  /** What a further job in the same run adds, as a share of a run alone. 1: batching gains nothing. */
  marginal: number;
  link: LinkSpec;
};

/** Everything that computes or carries. */
export type Plant = {
  /** Per service platform. `slowdown` is over app.json's reference times and is not announced: a policy must find it. */
  edge: { isolates: number; slowdown: number; call: LinkSpec };
  nodes: NodeSpec[];
  /** From the front to an object and between objects. */
  object: LinkSpec;
  coordinator: LinkSpec;
  /** Log-deviation of every stage's time. */
  sigma: number;
};

/** Ways of a request: names of its draws of chance. */
export const LEGS = { plan: 0, edge: 2, gateway: 4, report: 20, exchange: 22, socket: 30, frame: 34 } as const;
/** From the draws of one node, or of one call, to those of the next. */
export const LEG_STRIDE = 40;

/** To a machine, or back from it. */
export type Direction = 0 | 1;

export interface Policy {
  /** A request has come. `world.finish` must be called for it once. */
  arrive(request: Offered): void;
  /** A fault has struck: the machines' own part in it has been done. */
  fault?(fault: Fault): void;
}

export type PolicyOf = (world: World) => Policy;

export type WorldOptions = {
  seed: number;
  plant: Plant;
  workload: Workload;
  inputs: ReadonlyMap<string, InputTable>;
  applications: readonly Application[];
  faults?: readonly Fault[];
};

/** Nothing is waited for longer than this after the last arrival. */
const AFTERMATH_MS = 15_000;
/** Clocks stand here when the world begins, so that nothing rests on time beginning at 0. */
const CLOCKS_START_AT = 1_000_000;

export class World {
  readonly events = new EventQueue();
  readonly seed: number;
  readonly plant: Plant;
  readonly applications: readonly Application[];
  readonly workload: Workload;
  readonly records: Records;
  readonly messages = new Messages();
  /** Isolates by platform, nodes in the order of the plant. */
  readonly edges: ReadonlyMap<string, Site[]>;
  readonly nodes: readonly { spec: NodeSpec; site: Site; registration: NodeRegistration }[];
  readonly #inputs: ReadonlyMap<string, InputTable>;
  readonly #faults: readonly Fault[];
  readonly #skews = new Map<string, number>();
  readonly #sides = new Map<User, UserSide>();

  constructor({ seed, plant, workload, inputs, applications, faults = [] }: WorldOptions) {
    this.seed = seed;
    this.plant = plant;
    this.workload = workload;
    this.applications = applications;
    this.records = new Records(workload);
    this.#inputs = inputs;
    this.#faults = faults;
    const site = (slowdown: number): Site => new Site(this.events, seed, slowdown, plant.sigma);
    const platforms = [...new Set(applications.map(({ platform }) => platform))];
    this.edges = new Map(
      platforms.map((platform) => [
        platform,
        Array.from({ length: plant.edge.isolates }, () => site(plant.edge.slowdown)),
      ]),
    );
    this.nodes = plant.nodes.map((spec) => ({ spec, site: site(1), registration: registrationOf(spec, applications) }));
  }

  inputsOf(application: Application): InputTable {
    const table = this.#inputs.get(application.name);
    if (!table) throw new RangeError(`there are no inputs for ${application.name}`);
    return table;
  }

  /** A user's own machine and link. */
  side(user: User): UserSide {
    let side = this.#sides.get(user);
    if (!side)
      this.#sides.set(user, (side = new UserSide(this.events, this.seed, user, this.plant.sigma, this.endsAt)));
    return side;
  }

  /** The instant after which nothing is waited for. */
  get endsAt(): number {
    return this.workload.untilMs + AFTERMATH_MS;
  }

  /** What the clock called `name` says now. Worker clocks tick in whole milliseconds; a node's own is finer. */
  clock(name: string, ticks: "whole" | "fine" = "whole"): number {
    const at = CLOCKS_START_AT + this.events.now + (this.#skews.get(name) ?? 0);
    return ticks === "whole" ? Math.floor(at) : at;
  }

  skew(name: string, ms: number): void {
    this.#skews.set(name, ms);
  }

  /** One way of a small message of a request, or of `bytes`. */
  way(spec: LinkSpec, request: number, leg: number, bytes = 0): number {
    return journeyMs(spec, this.seed, request, leg, bytes);
  }

  /**
   * One way of a request between the front and a node's gateway. These draws and those of its socket belong to the request
   * and the node, however often and in whatever order a policy asks: so the bound knows what they would be.
   */
  gatewayWay(request: number, node: number, direction: Direction): number {
    return this.way(this.plant.object, request, LEGS.gateway + direction + LEG_STRIDE * node);
  }

  /** One way of a request's frame of `bytes` between a node and its gateway. */
  socketWay(request: number, node: number, direction: Direction, bytes: number): number {
    const { link } = this.plant.nodes[node] as NodeSpec;
    return this.way(link, request, LEGS.socket + direction + LEG_STRIDE * node, bytes);
  }

  /** The request is answered or given up. */
  finish(request: Offered, outcome: Omit<Outcome, "right" | "totalMs">): void {
    const { rung } = outcome;
    const right = rung >= 0 && this.inputsOf(request.user.application).right(request.input, rung);
    const totalMs = this.events.now - request.atMs;
    const late = outcome.status === "onTime" && totalMs > request.user.deadlineMs;
    this.records.finish(request, { ...outcome, status: late ? "late" : outcome.status, right, totalMs });
  }

  /** Lets everything happen. */
  run(policyOf: PolicyOf): Records {
    const policy = policyOf(this);
    for (const fault of this.#faults) this.events.at(fault.atMs, () => this.#strike(policy, fault));
    const { requests } = this.workload;
    // One arrival at a time in the heap, not all of them.
    const next = (index: number): void => {
      const request = requests[index];
      if (!request) return;
      this.events.at(request.atMs, () => {
        next(index + 1);
        policy.arrive(request);
      });
    };
    next(0);
    this.events.run(this.endsAt);
    return this.records;
  }

  #strike(policy: Policy, fault: Fault): void {
    if (fault.kind === "slow") {
      const site = this.nodes[fault.node]?.site;
      if (site) {
        site.slowdown *= fault.factor;
        this.events.after(fault.forMs, () => (site.slowdown /= fault.factor));
      }
    }
    if (fault.kind === "pause") this.nodes[fault.node]?.site.pause(fault.forMs);
    if (fault.kind === "die") this.nodes[fault.node]?.site.kill();
    if (fault.kind === "skew") {
      const random = new Random(this.seed, "faults skew");
      for (const name of fault.clocks) this.skew(name, random.between(-fault.upToMs, fault.upToMs));
    }
    policy.fault?.(fault);
  }
}

/** What an agent announces that has measured itself to run at `pace` times the reference. */
export function registrationOf(spec: NodeSpec, applications: readonly Application[]): NodeRegistration {
  const profile = (application: Application, rung: number): RungProfile => {
    const stageMs = (chain(application, rung, "input") ?? []).map((stage) => {
      const medianMs = rungAt(application, stage).referenceMs.node * spec.pace;
      return { rung: stage, medianMs, marginalMs: spec.marginal * medianMs };
    });
    const medianMs = stageMs.reduce((sum, stage) => sum + stage.medianMs, 0);
    return {
      medianMs,
      p95Ms: 1.15 * medianMs,
      quality: rungAt(application, rung).quality.validation,
      gain: largestGain(application, rung),
      stageMs,
    };
  };
  return {
    agentVersion: "simulated",
    bootId: `${spec.name}-1`,
    provider: "cpu",
    device: "simulated",
    concurrency: spec.cores,
    applications: Object.fromEntries(
      applications.map((application) => [
        application.name,
        {
          version: application.version,
          rungs: Object.fromEntries(
            application.rungs.flatMap(({ tiers }, rung) =>
              tiers.includes("node") ? [[String(rung), profile(application, rung)]] : [],
            ),
          ),
        },
      ]),
    ),
  };
}
