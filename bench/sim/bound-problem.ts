/**
 * The bound's problem of one world: every way each request that counts could have been served, with the true times of
 * this world. Where a journey's draw depends on what a policy does, the quickest journey is taken; work on a node is
 * that of the largest batch it could be in (batch-sizes.ts). Requests of the warm-up are left out, except from batches.
 * Each of these makes the bound higher, never lower.
 *
 * An uplink's bandwidth changes, but a resource of the problem has one speed. So an uplink's time runs as fast as its
 * bandwidth: what could have been sent since the world began, in milliseconds of the link's mean. Windows and work in
 * that unit are exactly those of the link.
 */
import { chain, rungAt, type From } from "../../control/ladder.ts";
import { batchMs } from "../../control/node-work.ts";
import type { Tier } from "../../protocol/plan.ts";
import type { BoundOption, BoundProblem, Resource, Use } from "../bounds/problem.ts";
import { stageFactor } from "../simulator/site.ts";
import type { LinkSpec } from "../simulator/link.ts";
import type { Offered, User } from "../simulator/workload.ts";
import type { World } from "../simulator/world.ts";
import { localWork, nodeWork } from "../policies/kit/ladder-profile.ts";
import { MOST_IN_BATCH } from "../policies/kit/server.ts";
import { BatchSizes } from "./batch-sizes.ts";

/**
 * How an option serves its request: one tier begins, and hands the cut of `from` over to the one that ends; with `input`
 * one does all. `node`: its number where a node ends, else −1. Option `i` of a request is `ways[request][i]`, which its
 * own `way` says.
 */
export type Way = { rung: number; begins: Tier; ends: Tier; from: From; node: number };

/** What is listed of a world, beside the requests it is of. */
export type WorldProblem = { problem: BoundProblem; ways: Way[][]; requests: Offered[] };

/** A journey this many deviations quicker than the median: one in 30,000 is quicker still. */
const QUICKEST = 4;

/** A machine of the service: its resource, the way there and back from the front, and work from somewhere to a rung. */
type Place = {
  resource: number;
  tier: Tier;
  /** Its number; −1 for an edge. */
  node: number;
  thereMs: (bytes: number) => number;
  backMs: number;
  /** Stages to run one after the other; null where this machine cannot. */
  stages: (rung: number, from: From) => StageMs[] | null;
  /** Told of every way that is looked at: between which instants the stages are run. */
  note: (stages: readonly StageMs[], fromAt: number, untilAt: number) => void;
};

type StageMs = { rung: number; ms: number };

/**
 * Times the batch sizes are worked out. The first time all batches are the largest there are, which is what says who could
 * meet; with the sizes found jobs take longer and fewer of them meet. A third time finds next to nothing.
 */
const ROUNDS = 2;

/**
 * `worth`: what an answer of a rung to a request counts; the truth, for the clairvoyant bound. `sizes`: of batches; a bound
 * needs the largest there could be, and with none noted every job runs alone.
 */
export function problemOf(
  world: World,
  measured: (request: Offered) => boolean,
  worth: (request: Offered, rung: number) => number,
  sizes: BatchSizes = batchSizesOf(world),
): WorldProblem {
  const builder = new Builder(world, sizes, null);
  const requests = world.workload.requests.filter(measured);
  const found = requests.map((request) => builder.options(request, (rung) => worth(request, rung)));
  return {
    problem: {
      resources: builder.resources,
      requests: found.map((one) => ({ options: one.map(({ option }) => option) })),
    },
    ways: found.map((one) => one.map(({ way }) => way)),
    requests,
  };
}

/** Who could meet in a batch of a stage on a node, by `batchStage`. */
export function batchSizesOf(world: World): BatchSizes {
  let sizes: BatchSizes | null = null;
  for (let round = 0; round < ROUNDS; round++) {
    const noted: BatchSizes = new BatchSizes();
    const builder = new Builder(world, sizes, noted);
    for (const request of world.workload.requests) builder.options(request, () => 1);
    sizes = noted;
  }
  return sizes ?? new BatchSizes();
}

/** The name of a stage on a node. */
export function batchStage(node: string, application: string, rung: number): string {
  return `${node} ${application} ${rung}`;
}

/** Uses of machines of the service, and the least time from reaching the front to leaving it. */
type Inside = { uses: Use[]; needsMs: number };

class Builder {
  readonly resources: Resource[] = [];
  readonly #world: World;
  readonly #edges = new Map<string, number>();
  readonly #nodes: number[];
  readonly #users = new Map<User, { device: number; uplink: number }>();
  readonly #sizes: BatchSizes | null;
  readonly #noted: BatchSizes | null;

  /** `sizes`: of batches; without it all are the largest. `noted` is told who could meet in one. */
  constructor(world: World, sizes: BatchSizes | null, noted: BatchSizes | null) {
    this.#world = world;
    this.#sizes = sizes;
    this.#noted = noted;
    for (const [platform, sites] of world.edges) {
      this.#edges.set(platform, this.#add(`edge ${platform}`, sites.length));
    }
    this.#nodes = world.nodes.map(({ spec }) => this.#add(spec.name, spec.cores));
  }

  options(request: Offered, worth: (rung: number) => number): { option: BoundOption; way: Way }[] {
    const { user, atMs } = request;
    const { application, deadlineMs } = user;
    const { device, uplink } = this.#user(user);
    const side = this.#world.side(user);
    const dueAt = atMs + deadlineMs;
    const found: { option: BoundOption; way: Way }[] = [];
    const add = (way: Way, uses: Use[]): void => {
      found.push({ way, option: { value: worth(way.rung), uses, way: found.length } });
    };
    const home = (rung: number): number | null => this.#deviceMs(request, rung);
    const places = this.#places(request);

    /** The device for `prefixMs`, then `bytes` to the service, and what happens there. */
    const service = (
      way: Way,
      prefixMs: number,
      bytes: number,
      inside: (fromAt: number, untilAt: number) => Inside | null,
    ): void => {
      const { link } = side;
      const kilobits = (8 * bytes) / 1000;
      const sentAt = atMs + prefixMs;
      const upMs = link ? link.way(request.id, "up") : 0;
      const arrivesAt = link ? link.timeOf(link.capacity(sentAt) + kilobits) + upMs : sentAt;
      const untilAt = dueAt - (link ? link.way(request.id, "down") : 0);
      const served = inside(arrivesAt, untilAt);
      if (!served || arrivesAt + served.needsMs > untilAt) return;
      const thereBy = untilAt - served.needsMs - upMs;
      const uses: Use[] = [...served.uses];
      if (link) {
        uses.push({
          resource: uplink,
          releaseAt: link.capacity(sentAt) / link.meanRate,
          dueAt: link.capacity(thereBy) / link.meanRate,
          workMs: kilobits / link.meanRate,
        });
      }
      if (prefixMs > 0) {
        const doneBy = link ? link.timeOf(link.capacity(thereBy) - kilobits) : thereBy;
        uses.push({ resource: device, releaseAt: atMs, dueAt: doneBy, workMs: prefixMs });
      }
      add(way, uses);
    };

    for (let rung = 0; rung < application.rungs.length; rung++) {
      if (worth(rung) <= 0) continue;
      const alone = home(rung);
      if (alone !== null) {
        const whole: Way = { rung, begins: "device", ends: "device", from: "input", node: -1 };
        add(whole, [{ resource: device, releaseAt: atMs, dueAt, workMs: alone }]);
      }
      const starts: From[] = ["input", ...(chain(application, rung, "input") ?? []).slice(0, -1)];
      for (const from of starts) {
        const cut = from === "input" ? undefined : rungAt(application, from).cut;
        if (from !== "input" && !cut) continue;
        const bytes = cut?.bytes.u8 ?? application.input.bytes;
        const prefixMs = from === "input" ? 0 : home(from);
        if (prefixMs !== null) {
          for (const place of places) {
            const { tier: ends, node } = place;
            const way: Way = { rung, begins: from === "input" ? ends : "device", ends, from, node };
            service(way, prefixMs, bytes, (fromAt, untilAt) => single(place, rung, from, bytes, fromAt, untilAt));
          }
        }
        // The edge begins, a node ends.
        const [edge] = places;
        const prefix = from === "input" ? null : (edge?.stages(from, "input") ?? null);
        if (!edge || prefix === null) continue;
        const edgeMs = sumMs(prefix);
        for (const node of places.slice(1)) {
          const way: Way = { rung, begins: "edge", ends: "node", from, node: node.node };
          service(way, 0, application.input.bytes, (fromAt, untilAt) => {
            const suffix = node.stages(rung, from);
            if (suffix === null) return null;
            const nodeMs = sumMs(suffix);
            const begins = fromAt + edge.thereMs(0);
            const between = edge.backMs + node.thereMs(bytes);
            const endsBy = untilAt - node.backMs;
            node.note(suffix, begins + edgeMs + between, endsBy);
            const uses = [
              { resource: edge.resource, releaseAt: begins, dueAt: endsBy - nodeMs - between, workMs: edgeMs },
              { resource: node.resource, releaseAt: begins + edgeMs + between, dueAt: endsBy, workMs: nodeMs },
            ];
            return { uses, needsMs: edge.thereMs(0) + edgeMs + between + nodeMs + node.backMs };
          });
        }
      }
    }
    return found;
  }

  #add(name: string, lanes: number): number {
    this.resources.push({ name, lanes, speed: lanes });
    return this.resources.length - 1;
  }

  #user(user: User): { device: number; uplink: number } {
    let own = this.#users.get(user);
    if (!own) {
      own = { device: this.#add(`device ${user.index}`, 1), uplink: this.#add(`uplink ${user.index}`, 1) };
      this.#users.set(user, own);
    }
    return own;
  }

  #deviceMs({ user, id }: Offered, rung: number): number | null {
    if (!user.device) return null;
    const work = localWork(user.application, "device", user.device.pace, rung, "input");
    return work && sumMs(this.#trueMs(id, work.stages, ({ medianMs }) => medianMs));
  }

  /** The edge first, if there is one, then the nodes. */
  #places({ user, id }: Offered): Place[] {
    const { application } = user;
    const { plant, nodes } = this.#world;
    const edge = this.#edges.get(application.platform);
    const found: Place[] = [];
    if (edge !== undefined) {
      const callMs = quickest(plant.edge.call);
      found.push({
        resource: edge,
        tier: "edge",
        node: -1,
        thereMs: () => callMs,
        backMs: callMs,
        note: () => undefined,
        stages: (rung, from) => {
          const work = localWork(application, "edge", plant.edge.slowdown, rung, from);
          return work && this.#trueMs(id, work.stages, ({ medianMs }) => medianMs);
        },
      });
    }
    nodes.forEach(({ spec, registration }, i) => {
      const stageName = (rung: number): string => batchStage(spec.name, application.name, rung);
      found.push({
        resource: this.#nodes[i] as number,
        tier: "node",
        node: i,
        thereMs: (bytes) => this.#world.gatewayWay(id, i, 0) + this.#world.socketWay(id, i, 0, bytes),
        backMs: this.#world.gatewayWay(id, i, 1) + this.#world.socketWay(id, i, 1, 0),
        note: (stages, fromAt, untilAt) => {
          let beforeMs = 0;
          let leftMs = sumMs(stages);
          for (const { rung, ms } of this.#noted ? stages : []) {
            this.#noted?.note(stageName(rung), id, fromAt + beforeMs, untilAt - leftMs);
            beforeMs += ms;
            leftMs -= ms;
          }
        },
        stages: (rung, from) => {
          const work = nodeWork(registration, application, rung, from);
          return (
            work &&
            this.#trueMs(id, work.stages, (stage) => {
              const most = Math.min(MOST_IN_BATCH, this.#sizes?.most(stageName(stage.rung), id) ?? MOST_IN_BATCH);
              return batchMs([stage], most) / most;
            })
          );
        },
      });
    });
    return found;
  }

  #trueMs<S extends { rung: number }>(request: number, stages: readonly S[], ms: (stage: S) => number): StageMs[] {
    const { seed, plant } = this.#world;
    return stages.map((stage) => {
      return { rung: stage.rung, ms: ms(stage) * stageFactor(seed, request, stage.rung, plant.sigma) };
    });
  }
}

function single(place: Place, rung: number, from: From, bytes: number, fromAt: number, untilAt: number): Inside | null {
  const stages = place.stages(rung, from);
  if (stages === null) return null;
  const workMs = sumMs(stages);
  const thereMs = place.thereMs(bytes);
  place.note(stages, fromAt + thereMs, untilAt - place.backMs);
  const uses = [{ resource: place.resource, releaseAt: fromAt + thereMs, dueAt: untilAt - place.backMs, workMs }];
  return { uses, needsMs: thereMs + workMs + place.backMs };
}

function sumMs(stages: readonly StageMs[]): number {
  return stages.reduce((sum, { ms }) => sum + ms, 0);
}

function quickest({ rttMs, jitter }: LinkSpec): number {
  return (rttMs / 2) * Math.exp(-QUICKEST * jitter);
}
