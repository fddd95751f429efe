/**
 * Jellyfish-like (RTSS 2022; EVALUATION §5.5, re-implemented from its description). Every epoch, for each application: which
 * rung each node offers, and which node each user is mapped to. Users with the most time after their network come first,
 * to the most accurate rung; a 0/1 knapsack fills each node's throughput with their request rates. First as many users as
 * can be served, then the most accuracy by rate. What is left over is rejected. A node drops what it would end more than
 * 5 ms late, and waits for a fuller batch while more than 10 ms are to spare.
 *
 * Not as published: several applications share the nodes, each with the part of their time that its demand is of all; and
 * with two nodes and at most five rungs all choices are compared, where it anneals.
 */
import type { Application } from "../../protocol/application.ts";
import { linkUpperMs } from "../../control/latency.ts";
import type { Offered, User } from "../simulator/workload.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import { Demand } from "./kit/epochs.ts";
import type { Work } from "./kit/ladder-profile.ts";
import { chosen } from "./kit/selectors.ts";
import type { Choice, Job, Selector, Server } from "./kit/server.ts";
import { Serving, type Ask, type Known, type Route, type ServingOptions } from "./kit/serving.ts";

export type JellyfishParameters = { epochMs: number; limit: number; lazyMs: number };

export const JELLYFISH: JellyfishParameters = { epochMs: 1000, limit: 12, lazyMs: 10 };

/** Beyond this much predicted lateness a request is dropped at its turn. */
const DROP_LATE_MS = 5;

type Mapping = { known: Known; rung: number };
type Offer = { known: Known; work: Work };
type Wanting = { user: User; perS: number; allowanceMs: number };

class LazySelector implements Selector {
  readonly #parameters: JellyfishParameters;

  constructor(parameters: JellyfishParameters) {
    this.#parameters = parameters;
  }

  choose(server: Server, now: number): Choice {
    const head = server.queue[0] as Job;
    const { limit, lazyMs } = this.#parameters;
    const work = chosen(server, head);
    const jobs = server.alike(head, limit);
    const runMs = server.upperMs(work, jobs.length);
    if (head.dueAt - now - runMs < -DROP_LATE_MS || jobs.length >= limit) return { work, jobs };
    const dueAt = jobs.reduce((least, job) => Math.min(least, job.dueAt), Number.POSITIVE_INFINITY);
    const spareMs = dueAt - now - runMs - lazyMs;
    // Only where nothing else waits: one machine serves several queues, and none may hold up another.
    return spareMs > 0 && jobs.length === server.queue.length && server.batching
      ? { waitUntil: now + spareMs }
      : { work, jobs };
  }
}

class Jellyfish extends Serving {
  readonly #parameters: JellyfishParameters;
  readonly #demand = new Demand();
  #mapping = new Map<User, Mapping>();
  #plannedAt = Number.NEGATIVE_INFINITY;

  constructor(world: World, options: ServingOptions, parameters: JellyfishParameters) {
    super(world, options, new LazySelector(parameters));
    this.#parameters = parameters;
  }

  override arrive(request: Offered): void {
    this.#demand.count(request);
    super.arrive(request);
  }

  protected route({ task: { request } }: Ask): Route {
    const { now } = this.world.events;
    if (now - this.#plannedAt >= this.#parameters.epochMs) {
      this.#plannedAt = now;
      this.#mapping = this.#plan(now);
    }
    const mapped = this.#mapping.get(request.user);
    return mapped ?? null;
  }

  #plan(now: number): Map<User, Mapping> {
    const mapping = new Map<User, Mapping>();
    const users = this.#demand.users(now);
    const applications = this.#demand.applications(now);
    const workMs = (application: Application, perS: number): number => {
      const full = this.nodes[0]?.server.frontier(application).at(-1);
      return full && this.nodes[0] ? perS * this.nodes[0].server.meanMs(full, 1) : 0;
    };
    const all = applications.reduce((sum, { application, perS }) => sum + workMs(application, perS), 0);
    for (const { application, perS } of applications) {
      const share = all > 0 ? workMs(application, perS) / all : 1;
      const wanting = users
        .filter(({ user }) => user.application === application)
        .map((one) => ({ ...one, allowanceMs: this.#allowanceMs(one.user) }))
        .sort((a, b) => b.allowanceMs - a.allowanceMs || a.user.index - b.user.index);
      const best = this.#bestOffers(application, wanting, share);
      for (const [user, mapped] of best) mapping.set(user, mapped);
    }
    return mapping;
  }

  #allowanceMs(user: User): number {
    const { estimate } = this.world.side(user);
    const node = this.nodes[0];
    const { bytes } = user.application.input;
    return user.deadlineMs - linkUpperMs(estimate, bytes) - (node ? linkUpperMs(node.link, bytes) : 0);
  }

  /** The choice of one rung per node under which most rate is served, and then most accuracy. */
  #bestOffers(application: Application, wanting: readonly Wanting[], share: number): Map<User, Mapping> {
    let best = { mapped: new Map<User, Mapping>(), served: -1, accuracy: -1 };
    const total = wanting.reduce((sum, { perS }) => sum + perS, 0);
    for (const offers of choices(this.nodes, application)) {
      const mapped = this.#map(
        [...offers].sort((a, b) => b.work.accuracy - a.work.accuracy),
        wanting,
        share,
      );
      let [served, accuracy] = [0, 0];
      for (const { user, perS } of wanting) {
        const to = mapped.get(user);
        if (!to) continue;
        served += perS / Math.max(total, 1e-9);
        accuracy += perS * (application.rungs[to.rung]?.quality.validation ?? 0);
      }
      if (served > best.served + 1e-9 || (served > best.served - 1e-9 && accuracy > best.accuracy)) {
        best = { mapped, served, accuracy };
      }
    }
    return best.mapped;
  }

  #map(offers: readonly Offer[], wanting: readonly Wanting[], share: number): Map<User, Mapping> {
    const mapped = new Map<User, Mapping>();
    let left = [...wanting];
    for (const { known, work } of offers) {
      const perS = share * this.#throughput(known.server, work, left);
      const taken = knapsack(left, Math.floor(perS));
      for (const user of taken) mapped.set(user, { known, rung: work.rung });
      left = left.filter(({ user }) => !mapped.has(user));
    }
    return mapped;
  }

  /** Requests a second in the largest batch that may take half of the tightest allowance and still raises throughput. */
  #throughput(server: Server, work: Work, wanting: readonly Wanting[]): number {
    const tightest = wanting.reduce((least, { allowanceMs }) => Math.min(least, allowanceMs), Number.POSITIVE_INFINITY);
    let most = 0;
    for (let batch = 1; batch <= this.#parameters.limit; batch++) {
      const ms = server.upperMs(work, batch);
      if (2 * ms > tightest) break;
      most = Math.max(most, (1000 * batch * server.lanes) / ms);
    }
    return most;
  }
}

/** Every way to choose one rung per node. */
function choices(nodes: readonly Known[], application: Application): Offer[][] {
  return nodes.reduce<Offer[][]>(
    (so, known) =>
      so.flatMap((offers) => known.server.frontier(application).map((work) => [...offers, { known, work }])),
    [[]],
  );
}

/** 0/1 knapsack where weight is worth: users in their order, rates in whole requests a second. */
function knapsack(wanting: readonly Wanting[], capacity: number): User[] {
  if (capacity < 1) return [];
  const able = wanting.filter(({ allowanceMs }) => allowanceMs > 0);
  const weights = able.map(({ perS }) => Math.max(1, Math.ceil(perS)));
  if (weights.reduce((a, b) => a + b, 0) <= capacity) return able.map(({ user }) => user);
  const best = new Int32Array(capacity + 1);
  const taken = able.map(() => new Uint8Array(capacity + 1));
  weights.forEach((weight, i) => {
    for (let room = capacity; room >= weight; room--) {
      const worth = (best[room - weight] as number) + weight;
      if (worth <= (best[room] as number)) continue;
      best[room] = worth;
      (taken[i] as Uint8Array)[room] = 1;
    }
  });
  const users: User[] = [];
  let room = capacity;
  for (let i = able.length - 1; i >= 0; i--) {
    if (taken[i]?.[room] !== 1) continue;
    users.push((able[i] as Wanting).user);
    room -= weights[i] as number;
  }
  return users;
}

export const jellyfish =
  (parameters: JellyfishParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new Jellyfish(world, options, parameters);
