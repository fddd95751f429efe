/**
 * The simulator on the trace that was offered live: the same arrivals, applications, inputs and journeys of clients, on
 * machines as they were measured. A request enters the simulated service when the live one was sent, with the time left
 * that the live one was told; what came before and after is added as it was live.
 *
 * All of the service is one thread of workerd here: in front of the simulated front stands that thread, in which every
 * request takes the front's own time and which is priced and refuses as the real one (control/front-load). Stages at the
 * edge run beside it in the simulation, and in it in truth.
 */
import { FrontLoad } from "../../control/front-load.ts";
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
  const load = new FrontLoad();
  const lens = new WishfulLens(policy.wishes, load, applications);
  const found = world.run((at) => new OneThread(at, measured.frontMs, load, new Dystri(at, lens)));
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

/** Of a request's time at the front, what it takes to turn it away (`npm run bench:thread`: a plan alone is two fifths). */
const REFUSAL_SHARE = 0.25;

/**
 * The front's thread. What has arrived is worked off in one pass, one after the other; what comes meanwhile is read when the pass
 * is over. Only then does the service's clock look at it.
 */
class OneThread implements Policy {
  readonly #world: World;
  readonly #eachMs: Record<string, number>;
  readonly #load: FrontLoad;
  readonly #policy: Policy;
  #unread: Offered[] = [];
  #passing = false;

  constructor(world: World, eachMs: Record<string, number>, load: FrontLoad, policy: Policy) {
    this.#world = world;
    this.#eachMs = eachMs;
    this.#load = load;
    this.#policy = policy;
  }

  arrive(request: Offered): void {
    this.#unread.push(request);
    if (!this.#passing) this.#pass();
  }

  #pass(): void {
    const { events } = this.#world;
    // The front's own clock: questions tell the price by it as well.
    const now = this.#world.clock("front");
    const requests = this.#unread;
    [this.#unread, this.#passing] = [[], requests.length > 0];
    if (!this.#passing) return;
    this.#load.wantsTimer(now);
    let takenMs = 0;
    for (const request of requests) {
      const { name, deadlineMs, application } = request.user;
      const eachMs = this.#eachMs[application.name] ?? 0;
      const admitted = this.#load.admits(name, deadlineMs, now);
      takenMs += admitted ? eachMs : REFUSAL_SHARE * eachMs;
      events.after(takenMs, () => {
        if (admitted) this.#policy.arrive(request);
        else this.#world.finish(request, { ...NOTHING, status: "rejected" });
      });
    }
    events.after(takenMs, () => {
      this.#load.passed(this.#world.clock("front"));
      this.#pass();
    });
  }
}
