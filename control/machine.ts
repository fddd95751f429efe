/**
 * A place that can compute, as the planner sees it: how fast, how far, how busy, how dear. The same few figures for a
 * device, the edge and a node, so that the planner compares options and not tiers.
 */
import type { Application } from "../protocol/application.ts";
import type { NodeEntry } from "../protocol/fleet.ts";
import type { Place } from "../protocol/plan.ts";
import { ladderFigures, onWay, rungAt, type From } from "./ladder.ts";
import type { EdgeSpeed, LinkEstimate } from "./latency.ts";
import { linkMeanMs, linkUpperMs } from "./latency.ts";
import { servedWork, workFrom } from "./node-work.ts";

export type Machine = {
  at: Place;
  /** Expected milliseconds per profile millisecond, and the 95th percentile as a multiple of that. */
  slowdown: number;
  tail: number;
  /** Of profile work found queued ahead. */
  aheadMs: number;
  /** Per millisecond of the machine's time, in accuracy, as this user pays it. */
  price: number;
  /** There and back for so many bytes, without queue and compute: expected, and the upper estimate. */
  journeyMs: (bytes: number) => { meanMs: number; tailMs: number };
  /** Profile milliseconds to the answer of `rung` from there; null where this machine cannot. */
  profileMs: (rung: number, from: From) => number | null;
};

/** The edge of an application's platform. It is called on the spot: what travels to it costs nothing that depends on size. */
export function edgeMachine(application: Application, speed: EdgeSpeed, aheadMs: number, price: number): Machine {
  const journey = { meanMs: speed.overheadMs, tailMs: speed.overheadMs + speed.spreadMs };
  return {
    at: { tier: "edge" },
    slowdown: speed.slowdown,
    tail: speed.tail,
    aheadMs,
    price,
    journeyMs: () => journey,
    profileMs: tierProfile(application, "edge"),
  };
}

/** A user's own device, which runs the same WASM stages as the edge, `slowdown` times as slowly. Its time has no price but its battery's. */
export function deviceMachine(application: Application, slowdown: number, aheadMs: number, price = 0): Machine {
  const journey = { meanMs: 0, tailMs: 0 };
  return {
    at: { tier: "device" },
    slowdown,
    tail: 1.1,
    aheadMs,
    price,
    journeyMs: () => journey,
    profileMs: tierProfile(application, "device"),
  };
}

/** A node by its own profile, the gateway's last view and this user's link to it. `aheadMs` is of the node's own time. */
export function nodeMachine(
  entry: NodeEntry,
  application: Application,
  link: LinkEstimate,
  aheadMs: number,
  price: number,
): Machine {
  const { registration, load, node } = entry;
  const served = registration.applications[application.name];
  // Another version of the contract answers another ladder.
  const work = served?.version === application.version ? servedWork(registration, application.name) : null;
  return {
    at: { tier: "node", node },
    slowdown: load.slowdown,
    tail: load.tail,
    aheadMs: aheadMs / load.slowdown,
    price,
    journeyMs: (bytes) => ({ meanMs: linkMeanMs(link, bytes), tailMs: linkUpperMs(link, bytes) }),
    profileMs: (rung, from) =>
      work && rungAt(application, rung).tiers.includes("node") ? (workFrom(work, from, rung)?.medianMs ?? null) : null,
  };
}

/** Edge and device run the same stages. */
function tierProfile(application: Application, tier: "edge" | "device"): Machine["profileMs"] {
  const { edgeMs } = ladderFigures(application);
  return (rung, from) => (rungAt(application, rung).tiers.includes(tier) ? onWay(edgeMs, rung, from) : null);
}
