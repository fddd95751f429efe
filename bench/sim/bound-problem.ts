/**
 * The bound's problem of one world: every way each request that counts could have been served, with the true times of
 * this world. Where a journey's draw depends on what a policy does, the quickest journey is taken; work on a node is
 * that of the best batch. Requests of the warm-up are left out. Each of these makes the bound higher, never lower.
 *
 * An uplink's bandwidth changes, but a resource of the problem has one speed. So an uplink's time runs as fast as its
 * bandwidth: what could have been sent since the world began, in milliseconds of the link's mean. Windows and work in
 * that unit are exactly those of the link.
 */
import { chain, rungAt, type From } from "../../control/ladder.ts";
import { batchMs } from "../../control/node-work.ts";
import type { BoundOption, BoundProblem, Resource, Use } from "../bounds/problem.ts";
import { stageFactor } from "../simulator/site.ts";
import type { LinkSpec } from "../simulator/link.ts";
import type { Offered, User } from "../simulator/workload.ts";
import type { World } from "../simulator/world.ts";
import { localWork, nodeWork } from "../policies/kit/ladder-profile.ts";
import { MOST_IN_BATCH } from "../policies/kit/server.ts";

/** What an option of the problem answers with, beside the problem itself: `rungs[request][option]`. */
export type WorldProblem = { problem: BoundProblem; rungs: number[][]; requests: Offered[] };

/** A journey this many deviations quicker than the median: one in 30,000 is quicker still. */
const QUICKEST = 4;

/** A machine of the service: its resource, the way there and back from the front, and work from somewhere to a rung. */
type Place = {
  resource: number;
  thereMs: (bytes: number) => number;
  backMs: number;
  workMs: (rung: number, from: From) => number | null;
};

/** `worth`: what an answer of a rung to a request counts; the truth, for the clairvoyant bound. */
export function problemOf(
  world: World,
  measured: (request: Offered) => boolean,
  worth: (request: Offered, rung: number) => number,
): WorldProblem {
  const builder = new Builder(world);
  const requests = world.workload.requests.filter(measured);
  const found = requests.map((request) => builder.options(request, (rung) => worth(request, rung)));
  return {
    problem: {
      resources: builder.resources,
      requests: found.map((one) => ({ options: one.map(({ option }) => option) })),
    },
    rungs: found.map((one) => one.map(({ rung }) => rung)),
    requests,
  };
}

/** Uses of machines of the service, and the least time from reaching the front to leaving it. */
type Inside = { uses: Use[]; needsMs: number };

class Builder {
  readonly resources: Resource[] = [];
  readonly #world: World;
  readonly #edges = new Map<string, number>();
  readonly #nodes: number[];
  readonly #users = new Map<User, { device: number; uplink: number }>();

  constructor(world: World) {
    this.#world = world;
    for (const [platform, sites] of world.edges) {
      this.#edges.set(platform, this.#add(`edge ${platform}`, sites.length));
    }
    this.#nodes = world.nodes.map(({ spec }) => this.#add(spec.name, spec.cores));
  }

  options(request: Offered, worth: (rung: number) => number): { option: BoundOption; rung: number }[] {
    const { user, atMs } = request;
    const { application, deadlineMs } = user;
    const { device, uplink } = this.#user(user);
    const side = this.#world.side(user);
    const dueAt = atMs + deadlineMs;
    const found: { option: BoundOption; rung: number }[] = [];
    const home = (rung: number): number | null => this.#deviceMs(request, rung);
    const places = this.#places(request);

    /** The device for `prefixMs`, then `bytes` to the service, and what happens there. */
    const service = (
      rung: number,
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
      found.push({ rung, option: { value: worth(rung), uses } });
    };

    for (let rung = 0; rung < application.rungs.length; rung++) {
      if (worth(rung) <= 0) continue;
      const alone = home(rung);
      if (alone !== null) {
        found.push({
          rung,
          option: { value: worth(rung), uses: [{ resource: device, releaseAt: atMs, dueAt, workMs: alone }] },
        });
      }
      const way = chain(application, rung, "input") ?? [];
      const starts: From[] = ["input", ...way.slice(0, -1)];
      for (const from of starts) {
        const cut = from === "input" ? undefined : rungAt(application, from).cut;
        if (from !== "input" && !cut) continue;
        const bytes = cut?.bytes.u8 ?? application.input.bytes;
        const prefixMs = from === "input" ? 0 : home(from);
        if (prefixMs !== null) {
          for (const place of places) {
            service(rung, prefixMs, bytes, (fromAt, untilAt) => single(place, rung, from, bytes, fromAt, untilAt));
          }
        }
        // The edge begins, a node ends.
        const [edge] = places;
        const edgeMs = from === "input" ? null : (edge?.workMs(from, "input") ?? null);
        if (!edge || edgeMs === null) continue;
        for (const node of places.slice(1)) {
          service(rung, 0, application.input.bytes, (fromAt, untilAt) => {
            const nodeMs = node.workMs(rung, from);
            if (nodeMs === null) return null;
            const begins = fromAt + edge.thereMs(0);
            const between = edge.backMs + node.thereMs(bytes);
            const endsBy = untilAt - node.backMs;
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
    return work && this.#trueMs(id, work.stages, ({ medianMs }) => medianMs);
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
        thereMs: () => callMs,
        backMs: callMs,
        workMs: (rung, from) => {
          const work = localWork(application, "edge", plant.edge.slowdown, rung, from);
          return work && this.#trueMs(id, work.stages, ({ medianMs }) => medianMs);
        },
      });
    }
    nodes.forEach(({ spec, registration }, i) => {
      const overMs = quickest(plant.object) + quickest(spec.link);
      found.push({
        resource: this.#nodes[i] as number,
        thereMs: (bytes) => overMs + (spec.link.mbitPerS > 0 ? (8 * bytes) / 1000 / spec.link.mbitPerS : 0),
        backMs: overMs,
        workMs: (rung, from) => {
          const work = nodeWork(registration, application, rung, from);
          return work && this.#trueMs(id, work.stages, (stage) => batchMs([stage], MOST_IN_BATCH) / MOST_IN_BATCH);
        },
      });
    });
    return found;
  }

  #trueMs<S extends { rung: number }>(request: number, stages: readonly S[], ms: (stage: S) => number): number {
    const { seed, plant } = this.#world;
    return stages.reduce((sum, stage) => sum + ms(stage) * stageFactor(seed, request, stage.rung, plant.sigma), 0);
  }
}

function single(place: Place, rung: number, from: From, bytes: number, fromAt: number, untilAt: number): Inside | null {
  const workMs = place.workMs(rung, from);
  if (workMs === null) return null;
  const thereMs = place.thereMs(bytes);
  const uses = [{ resource: place.resource, releaseAt: fromAt + thereMs, dueAt: untilAt - place.backMs, workMs }];
  return { uses, needsMs: thereMs + workMs + place.backMs };
}

function quickest({ rttMs, jitter }: LinkSpec): number {
  return (rttMs / 2) * Math.exp(-QUICKEST * jitter);
}
