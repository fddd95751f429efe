/**
 * The simulator on the trace that was offered live: the same arrivals, applications, inputs and journeys of clients, on
 * machines as they were measured. A request enters the simulated service when the live one was sent, with the time left
 * that the live one was told; what came before and after is added as it was live.
 *
 * All of the service is one thread of workerd here: in front of the simulated front stands a queue in which every
 * request takes the front's own time. Stages at the edge run beside it in the simulation, and in it in truth.
 */
import type { Application } from "../../protocol/application.ts";
import { Dystri } from "../simulator/dystri.ts";
import type { InputTable } from "../simulator/inputs.ts";
import { Records } from "../simulator/records.ts";
import type { Offered, Workload } from "../simulator/workload.ts";
import { World, type Policy } from "../simulator/world.ts";
import { NOTHING } from "./service.ts";
import { plantOf, registrationOf, type Measured, type NodeRow } from "./plant.ts";
import { WishfulLens, type LivePolicy } from "./policies.ts";
import { remainingMs, type Trace, type Way } from "./trace.ts";

export type Simulation = {
  seed: number;
  nodes: readonly NodeRow[];
  measured: Measured;
  applications: readonly Application[];
  inputs: ReadonlyMap<string, InputTable>;
  /** Offered before the trace and not counted: live, the service had been running. */
  warmUp: Trace;
};

type Entry = { trace: Trace; request: Offered; way: Way; at: number };

export function simulate(trace: Trace, policy: LivePolicy, simulation: Simulation): Records {
  const { seed, nodes, measured, applications, inputs, warmUp } = simulation;
  const records = new Records(trace.workload);
  const shiftMs = warmUp.workload.untilMs;
  const entries = [...entriesOf(warmUp, 0), ...entriesOf(trace, shiftMs)].sort((a, b) => a.at - b.at);
  const sent: { entry: Entry; request: Offered }[] = [];
  for (const entry of entries) {
    const { request, way } = entry;
    const toldMs = Math.max(remainingMs(request, way), policy.toldMs);
    if (toldMs < 1) {
      if (entry.trace === trace) records.finish(request, { ...NOTHING, status: "dropped", totalMs: way.upMs });
      continue;
    }
    const { access: _, ...user } = request.user;
    const entering = { id: sent.length, user: { ...user, deadlineMs: toldMs }, atMs: entry.at, input: request.input };
    sent.push({ entry, request: entering });
  }
  const workload: Workload = {
    users: trace.workload.users,
    requests: sent.map(({ request }) => request),
    untilMs: shiftMs + trace.workload.untilMs,
  };
  const world = new World({ seed, plant: plantOf(nodes, measured), workload, inputs, applications });
  for (const [platform, sites] of world.edges) {
    for (const site of sites) site.slowdown = measured.edgeSlowdown[platform] ?? 1;
  }
  for (const [i, machine] of world.nodes.entries()) {
    const row = nodes[i] as NodeRow;
    machine.registration = registrationOf(row);
    machine.site.slowdown = measured.nodeSlowdown[row.node] ?? 1;
  }
  const found = world.run((at) => new OneThread(at, measured.frontMs, new Dystri(at, new WishfulLens(policy.wishes))));
  for (const { entry, request } of sent) {
    if (entry.trace !== trace) continue;
    const outcome = found.outcome(request) ?? { ...NOTHING, totalMs: 0 };
    const { user } = entry.request;
    const totalMs = entry.way.upMs + outcome.totalMs + (measured.wireMs[user.application.name] ?? 0) + entry.way.downMs;
    const answered = outcome.status === "onTime" || outcome.status === "late";
    const status = answered ? (totalMs > user.deadlineMs ? "late" : "onTime") : outcome.status;
    records.finish(entry.request, { ...outcome, status, totalMs });
  }
  return records;
}

function entriesOf(trace: Trace, shiftMs: number): Entry[] {
  return trace.workload.requests.map((request) => {
    const way = trace.ways[request.id] as Way;
    return { trace, request, way, at: shiftMs + request.atMs + way.upMs };
  });
}

/** Requests pass the front's thread one after the other; only then does the service's clock look at them. */
class OneThread implements Policy {
  readonly #world: World;
  readonly #eachMs: Record<string, number>;
  readonly #policy: Policy;
  #freeAt = 0;

  constructor(world: World, eachMs: Record<string, number>, policy: Policy) {
    this.#world = world;
    this.#eachMs = eachMs;
    this.#policy = policy;
  }

  arrive(request: Offered): void {
    this.#freeAt = Math.max(this.#world.events.now, this.#freeAt) + (this.#eachMs[request.user.application.name] ?? 0);
    this.#world.events.at(this.#freeAt, () => this.#policy.arrive(request));
  }
}
