/**
 * What a user's device decides for itself, before and beside the service: which exits to run at home, and when to ask.
 * The planner is the service's own; home is the device, and the service is a few machines behind the access link, as the
 * last reply told of them. Where it asks, the service plans anew with the device's exits as evidence, so what is seen
 * here need only be good enough to know when asking is worth the journey.
 *
 * Pure: instants are the device's own and passed in; nothing is stored.
 */
import type { Application } from "../protocol/application.ts";
import type { ExitResult, Plan, PlanReply, Wishes } from "../protocol/plan.ts";
import { chain, chainReferenceMs, rungAt, wayMs } from "./ladder.ts";
import { linkMeanMs, linkUpperMs, type LinkEstimate } from "./latency.ts";
import { deviceMachine, type Machine } from "./machine.ts";
import { makePlan } from "./planner.ts";

/**
 * A machine of the service in figures that travel. Times are of the machine, per reference millisecond of its tier;
 * `meanMs` and `tailMs` are the way there and back from the front, for an input.
 */
export type SeenMachine = {
  tier: "edge" | "node";
  /** Of the edge: empty. */
  node: string;
  slowdown: number;
  tail: number;
  /** Reference milliseconds queued ahead. */
  aheadMs: number;
  /** In accuracy per millisecond of the machine, as this user pays it. */
  price: number;
  meanMs: number;
  tailMs: number;
};

/** What every reply to a device carries. */
export type SeenService = SeenMachine[];

/** The device's own speed and queue. */
export type DeviceLoad = { slowdown: number; tail: number; aheadMs: number };

export type DeviceAsk = {
  application: Application;
  planId: string;
  remainingMs: number;
  wishes: Wishes;
  evidence: readonly ExitResult[];
  device: DeviceLoad;
  link: LinkEstimate;
};

/** `ask`: `option` of the plan is the service's; it plans for itself from here on. */
export type DeviceStep =
  { kind: "run"; rung: number; target: number } | { kind: "stop" } | { kind: "ask"; option: number } | { kind: "late" };

/** What was heard is half believed after so long: a dear price that nobody asks about again would stay for ever, and asking in vain costs only a journey. */
const BELIEF_HALVES_MS = 1000;
/** The same of how slow the way was. */
const SLOWNESS_HALVES_MS = 5000;
/** That there is no node is believed for so long: one may have come, and who does not ask is not told. */
const ABSENCE_MS = 1000;
/**
 * How much of what the upper estimate lies above the expected time counts. Who waits for the service holds an exit, or has
 * one on its way at home: an answer that comes too late costs its journey, and one that is not asked for costs its gain.
 */
const CAUTION = 0.5;
/** What is begun at the last moment is begun this much before it: timers are late by that. */
const SOONER_MS = 1;
/**
 * Of a service that has not been heard yet: idle, free, as fast as its profile, with a node behind it. A device that
 * expected less than there may be would never ask, and never learn.
 */
const UNHEARD_EDGE: SeenMachine = {
  tier: "edge",
  node: "",
  slowdown: 1,
  tail: 1.2,
  aheadMs: 0,
  price: 0,
  meanMs: 3,
  tailMs: 6,
};
const UNHEARD_NODE: SeenMachine = { ...UNHEARD_EDGE, tier: "node", node: "?", meanMs: 10, tailMs: 15 };

export class DeviceController {
  #seen: SeenService = [UNHEARD_EDGE];
  #seenAt = Number.NEGATIVE_INFINITY;
  /** By plan: reference milliseconds asked of a machine and not yet answered. */
  readonly #asked = new Map<string, { machine: string; workMs: number }>();

  /** A reply has come. */
  absorb(seen: SeenService, now: number): void {
    if (seen.length === 0) return;
    this.#seen = seen;
    this.#seenAt = now;
  }

  plan(ask: DeviceAsk, now: number): PlanReply {
    const { application, device, link, wishes } = ask;
    const home: Machine = {
      ...deviceMachine(application, device.slowdown, device.aheadMs / device.slowdown),
      tail: device.tail,
    };
    const hopesForNode = now - this.#seenAt > ABSENCE_MS && !this.#seen.some(({ tier }) => tier === "node");
    const service = hopesForNode ? [...this.#seen, UNHEARD_NODE] : this.#seen;
    const away = service.map((seen) => this.#away(seen, application, link, now));
    return makePlan({ ...ask, home, away, wishes, weight: 1 });
  }

  /** The least time in which the service, as last heard, would answer what has arrived there and waits for nobody; else 0. */
  leastMs(application: Application): number {
    const times = this.#seen.flatMap(({ tier, slowdown, meanMs }) =>
      application.rungs.flatMap(({ tiers }, rung) => {
        const ms = tiers.includes(tier) ? wayMs(application, tier, rung, "input") : null;
        return ms === null ? [] : [meanMs + slowdown * ms];
      }),
    );
    return times.length > 0 ? Math.min(...times) : 0;
  }

  /** The service has been asked as `option` says; `answered` ends it. */
  asked(plan: Plan, option: number): void {
    const chosen = plan.options[option];
    if (!chosen || chosen.at.tier === "device") return;
    const machine = chosen.at.tier === "node" ? chosen.at.node : "";
    this.#asked.set(plan.planId, { machine, workMs: chosen.workMs });
  }

  answered(planId: string): void {
    this.#asked.delete(planId);
  }

  #away(seen: SeenMachine, application: Application, link: LinkEstimate, now: number): Machine {
    const ageMs = now - this.#seenAt;
    const { tier, node, slowdown, tail, price, meanMs, tailMs } = seen;
    const fresh = Number.isFinite(ageMs) ? 2 ** (-ageMs / SLOWNESS_HALVES_MS) : 1;
    const caution = CAUTION * fresh;
    let aheadMs = Math.max(0, seen.aheadMs - (Number.isFinite(ageMs) ? ageMs / slowdown : 0));
    for (const { machine, workMs } of this.#asked.values()) if (machine === node) aheadMs += workMs;
    return {
      at: tier === "node" ? { tier, node } : { tier },
      slowdown,
      tail: 1 + caution * (tail - 1),
      askingCost: 0,
      aheadMs,
      price: price * (Number.isFinite(ageMs) ? 2 ** (-ageMs / BELIEF_HALVES_MS) : 0),
      journeyMs: (bytes) => {
        const expectedMs = meanMs + fresh * linkMeanMs(link, bytes);
        return {
          meanMs: expectedMs,
          tailMs:
            expectedMs + caution * Math.hypot(tailMs - meanMs, linkUpperMs(link, bytes) - linkMeanMs(link, bytes)),
        };
      },
      // What a device sends is the input: in every ladder so far it is smaller than what the stages leave.
      profileMs: (rung, from) => {
        const able = from === "input" && rungAt(application, rung).tiers.includes(tier);
        return able ? wayMs(application, tier, rung, from) : null;
      },
    };
  }
}

/**
 * The next step of a request on its device with `fitsMs` of the device's reference time left to it, after `exits`. The
 * wish of the plan's table steps down to what still fits, never below its own least or to less than one exit deeper than
 * held; with an exit held and nothing deeper in time it stops.
 */
export function nextOnDevice(
  application: Application,
  plan: Plan,
  exits: readonly ExitResult[],
  fitsMs: number,
): DeviceStep {
  const held = exits.at(-1);
  const choice = held ? (plan.next[held.exit]?.[held.bin] ?? "stop") : plan.first;
  const option = choice === "stop" ? undefined : plan.options[choice];
  if (choice === "stop" || !option) return { kind: "stop" };
  if (option.at.tier !== "device") return { kind: "ask", option: choice };
  for (let target = option.rung; target >= Math.max(option.minRung, (held?.exit ?? -1) + 1); target--) {
    if (!rungAt(application, target).tiers.includes("device")) continue;
    const way = restOf(application, target, exits);
    const [rung] = way;
    if (rung !== undefined && chainReferenceMs(application, way, "edge") <= fitsMs)
      return { kind: "run", rung, target };
  }
  return { kind: held ? "stop" : "late" };
}

/**
 * The stages to run at home while the service is asked for a request of which nothing is held: those of the quickest
 * rung, if they fit. With that exit an answer that does not come, or comes too late, is no miss.
 */
export function safetyStages(application: Application, fitsMs: number): number[] {
  let best: number[] = [];
  let leastMs = fitsMs;
  application.rungs.forEach((_, rung) => {
    const way = chain(application, rung, "input") ?? [];
    const ms = chainReferenceMs(application, way, "edge");
    if (ms <= leastMs && way.every((stage) => rungAt(application, stage).tiers.includes("device")))
      [best, leastMs] = [way, ms];
  });
  return best;
}

/**
 * How long the service is waited for, with `leftMs` until the deadline, before those stages are begun at home: as long as they
 * are still in time afterwards, at their upper estimate. Mostly the service has answered by then, and the device is free
 * for requests that have nobody else. Null where they would be late already.
 */
export function securesAfterMs(
  application: Application,
  leftMs: number,
  { slowdown, tail }: Pick<DeviceLoad, "slowdown" | "tail">,
): number | null {
  const upperMs = slowdown * tail;
  const way = safetyStages(application, leftMs / upperMs);
  if (way.length === 0) return null;
  return Math.max(0, leftMs - upperMs * chainReferenceMs(application, way, "edge") - SOONER_MS);
}

/** Stages still to run on the device for `rung`. */
export function restOf(application: Application, rung: number, exits: readonly ExitResult[]): number[] {
  const whole = chain(application, rung, "input") ?? [];
  const done = whole.findLastIndex((stage) => exits.some(({ exit }) => exit === stage));
  return whole.slice(done + 1);
}

/**
 * Time the service has for an answer when it is asked with `leftMs` until the deadline: what the journey leaves as expected.
 * The service keeps a margin of its own, and what it would give up for a journey that might be slow it gives up every time.
 */
export function serviceMs(leftMs: number, link: LinkEstimate, bytes: number): number {
  return Math.max(leftMs - linkMeanMs(link, bytes), 0);
}

/**
 * Is there any point in sending `bytes` now, when the service takes `leastMs` at least? Not where what still waits to be sent
 * (`pendingBytes`, counted in `link`) makes its answer too late as expected: it would only make the next one late as well.
 * A free link is always tried, or an estimate that is too high would stay for ever.
 */
export function worthSending(
  leftMs: number,
  link: LinkEstimate,
  bytes: number,
  pendingBytes: number,
  leastMs: number,
): boolean {
  return pendingBytes === 0 || linkMeanMs(link, bytes) + leastMs < leftMs;
}

/** What the service tells of its machines: the edge, and of the nodes the one that would answer first. */
export function seenService(application: Application, edge: Machine, nodes: readonly Machine[]): SeenService {
  const seen = (machine: Machine): SeenMachine | null => {
    const { tier } = machine.at;
    if (tier === "device") return null;
    const rung = application.rungs.findLastIndex((one, index) => {
      return one.tiers.includes(tier) && machine.profileMs(index, "input") !== null;
    });
    if (rung < 0) return null;
    const referenceMs = wayMs(application, tier, rung, "input") ?? 0;
    const perReference = (machine.profileMs(rung, "input") ?? 0) / referenceMs;
    return {
      tier,
      node: machine.at.tier === "node" ? machine.at.node : "",
      slowdown: machine.slowdown * perReference,
      tail: machine.tail,
      aheadMs: machine.aheadMs / perReference,
      price: machine.price,
      ...machine.journeyMs(application.input.bytes),
    };
  };
  const waitMs = ({ slowdown, aheadMs, meanMs }: SeenMachine): number => meanMs + slowdown * aheadMs;
  const known = nodes.flatMap((node) => seen(node) ?? []).sort((a, b) => waitMs(a) - waitMs(b));
  return [seen(edge), known[0] ?? null].filter((machine) => machine !== null);
}
