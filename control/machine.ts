/**
 * A place that can compute, as the planner sees it: how fast, how far, how busy, how dear. The same few figures for a
 * device, the edge and a node, so that the planner compares options and not tiers.
 */
import type { Application } from "../protocol/application.ts";
import type { NodeEntry, NodeRegistration } from "../protocol/fleet.ts";
import type { Place, Tier } from "../protocol/plan.ts";
import { onWay, wayMs, type ByWay, type From } from "./ladder.ts";
import type { EdgeSpeed, LinkEstimate } from "./latency.ts";
import { linkMeanMs, linkUpperMs } from "./latency.ts";
import { rungWork } from "./node-work.ts";
import { oncePer } from "./once.ts";

export type Machine = {
  at: Place;
  /** Expected milliseconds per profile millisecond, and the 95th percentile as a multiple of that. */
  slowdown: number;
  tail: number;
  /** Of profile work found queued ahead. */
  aheadMs: number;
  /** Per millisecond of the machine's time, in accuracy, as this user pays it. */
  price: number;
  /** Of asking it at all, in accuracy: what that takes of the asking front's own thread. */
  askingCost: number;
  /** There and back for so many bytes, without queue and compute: expected, and the upper estimate. */
  journeyMs: (bytes: number) => { meanMs: number; tailMs: number };
  /** Profile milliseconds to the answer of `rung` from there; null where this machine cannot. */
  profileMs: (rung: number, from: From) => number | null;
};

/** Of the asking front's thread, beside the stages themselves: a call of the edge, and of a node through its gateway (`npm run bench:thread`). */
const EDGE_CALL_MS = 0.3;
const NODE_CALL_MS = 0.7;

/**
 * The edge of an application's platform. Its stages run on the asking front's own thread, or on one like it: where a
 * millisecond of that has a price, they cost it as well. It is called on the spot: what travels to it costs nothing that
 * depends on size.
 */
export function edgeMachine(
  application: Application,
  speed: EdgeSpeed,
  aheadMs: number,
  price: number,
  threadPrice = 0,
): Machine {
  const profile = edgeProfile(application);
  const journey = { meanMs: speed.overheadMs, tailMs: speed.overheadMs + speed.spreadMs };
  return {
    at: { tier: "edge" },
    slowdown: speed.slowdown,
    tail: speed.tail,
    aheadMs,
    price: price + threadPrice,
    askingCost: EDGE_CALL_MS * threadPrice,
    journeyMs: () => journey,
    profileMs: (rung, from) => onWay(profile, rung, from),
  };
}

/** A user's own device, which runs the same WASM stages as the edge, `slowdown` times as slowly. Its time has no price but its battery's. */
export function deviceMachine(application: Application, slowdown: number, aheadMs: number, price = 0): Machine {
  const profile = deviceProfile(application);
  const journey = { meanMs: 0, tailMs: 0 };
  return {
    at: { tier: "device" },
    slowdown,
    tail: 1.1,
    aheadMs,
    price,
    askingCost: 0,
    journeyMs: () => journey,
    profileMs: (rung, from) => onWay(profile, rung, from),
  };
}

/** A node by its own profile, the gateway's last view and this user's link to it. `aheadMs` is of the node's own time. */
export function nodeMachine(
  entry: NodeEntry,
  application: Application,
  link: LinkEstimate,
  aheadMs: number,
  price: number,
  threadPrice = 0,
): Machine {
  const { registration, load, node } = entry;
  const served = registration.applications[application.name];
  // Another version of the contract answers another ladder.
  const profile = served?.version === application.version ? nodeProfiles(registration)(application) : [];
  return {
    at: { tier: "node", node },
    slowdown: load.slowdown,
    tail: load.tail,
    aheadMs: aheadMs / load.slowdown,
    price,
    askingCost: NODE_CALL_MS * threadPrice,
    journeyMs: (bytes) => ({ meanMs: linkMeanMs(link, bytes), tailMs: linkUpperMs(link, bytes) }),
    profileMs: (rung, from) => onWay(profile, rung, from),
  };
}

// What each kind of machine can run, and in what time: asked for every candidate of every plan.
const edgeProfile = oncePer((application: Application) => profileOn(application, "edge", edgeMs(application)));
/** The same stages as at the edge. */
const deviceProfile = oncePer((application: Application) => profileOn(application, "device", edgeMs(application)));
const nodeProfiles = oncePer((registration: NodeRegistration) =>
  oncePer((application: Application) =>
    profileOn(
      application,
      "node",
      (rung, from) => rungWork(registration, application.name, from, rung)?.medianMs ?? null,
    ),
  ),
);

function edgeMs(application: Application): Machine["profileMs"] {
  return (rung, from) => wayMs(application, "edge", rung, from);
}

/** The figures of the rungs whose stage may run on the tier. */
function profileOn({ rungs }: Application, tier: Tier, ms: Machine["profileMs"]): ByWay {
  const starts: From[] = ["input", ...rungs.keys()];
  return rungs.map(({ tiers }, rung) => starts.map((from) => (tiers.includes(tier) ? ms(rung, from) : null)));
}
