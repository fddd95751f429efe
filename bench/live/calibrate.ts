/**
 * What the machine can do and what its parts take, measured on the running service before the runs that count: single
 * requests on an idle service, closed loops for what it lets through, open loops at half of that for machines at work.
 */
import { chain, chainReferenceMs } from "../../control/ladder.ts";
import { encodeRequest, HttpConnection } from "../lib/http-connection.ts";
import { inSequence } from "../lib/closed-loop.ts";
import { median } from "../lib/statistics.ts";
import { Connections } from "./connections.ts";
import { edgeTimes, nodeTimes, type ControllerRow, type Measured, type NodeRow, type NodeRun } from "./plant.ts";
import { DYSTRI, STATIC_BEST, STATIC_FAST, queryOf, type LivePolicy } from "./policies.ts";
import type { InferReply, Service } from "./service.ts";
import type { Offered } from "../simulator/workload.ts";
import type { TraceUser } from "./trace.ts";

/** On an idle service, of each kind. */
const IN_SEQUENCE = 40;
const BUSY_CONNECTIONS = 16;
const PATIENT_MS = 2000;
/** Of moderate load at the edge, then on nodes. */
const SETTLE_MS = 2000;

/** Offers a moderate load, given what the service lets through of it; `seen` is told of every answer. */
export type Settle = (
  policy: LivePolicy,
  mostPerS: number,
  forMs: number,
  seen: (request: Offered, reply: InferReply) => void,
) => Promise<void>;

export type Calibration = {
  /** Requests answered per second with the deepest rung on nodes, and with the first rung at the edge: closed loops. */
  bestPerS: number;
  fastPerS: number;
  measured: Measured;
};

/**
 * Takes about `busyMs` and a few seconds. `saturated` and `service` are the same with other keys: what saturation teaches
 * a controller is none of the machines' times. `settle` offers load far from it, to `service`, and tells of every answer.
 */
export async function calibrate(
  saturated: Service,
  service: Service,
  users: readonly TraceUser[],
  nodes: readonly NodeRow[],
  busyMs: number,
  settle: Settle,
): Promise<Calibration> {
  const idle = await onIdle(saturated, users);
  // One application at a time: they differ in what decoding costs the front, and in what their last rungs take.
  const kinds = [...new Map(users.map((user) => [user.application.name, user])).values()];
  const loop = async (policy: LivePolicy): Promise<Map<string, number>> => {
    const eachMs = new Map<string, number>();
    for (const user of kinds) {
      const perS = await closedLoop(saturated, user, policy, busyMs / (2 * kinds.length));
      eachMs.set(user.application.name, 1000 / perS);
    }
    return eachMs;
  };
  const [bestMs, fastMs] = [await loop(STATIC_BEST), await loop(STATIC_FAST)];
  const perSOf = (eachMs: ReadonlyMap<string, number>): number =>
    (1000 * users.length) / users.reduce((sum, { application }) => sum + (eachMs.get(application.name) ?? 0), 0);
  const [bestPerS, fastPerS] = [perSOf(bestMs), perSOf(fastMs)];
  const runs: NodeRun[] = [];
  // Each at its own capacity: what is learnt of the edge would be too little at a load that is moderate for slow nodes.
  for (const [policy, perS] of [
    [STATIC_FAST, fastPerS],
    [STATIC_BEST, bestPerS],
  ] as const) {
    await settle(policy, perS, SETTLE_MS, ({ user }, { node, exit, compute_ms }) => {
      if (node === null || compute_ms === undefined) return;
      runs.push({ node, application: user.application.name, rung: exit - 1, computeMs: compute_ms });
    });
  }
  const rows = await Promise.all(
    users.map(async (user) => ({ application: user.application, row: await controllerOf(service, user) })),
  );
  const { nodeCallMs, ...edge } = edgeTimes(rows);
  const objectMs = Math.max(0, idle.planMs - idle.nothingMs);
  const frontMs: Record<string, number> = {};
  const wireMs: Record<string, number> = {};
  for (const { application } of kinds) {
    const { name, platform } = application;
    const stages = chain(application, 0, "input") ?? [];
    const firstMs = (edge.edgeSlowdown[platform] ?? 1) * chainReferenceMs(application, stages, "edge");
    // The service's thread spends no more than either loop needed for a request.
    const front = Math.max(0, Math.min(bestMs.get(name) ?? 0, (fastMs.get(name) ?? 0) - firstMs));
    frontMs[name] = front;
    // Of a single request on an idle service, what the simulated service would not take.
    wireMs[name] = Math.max(0, (idle.fastMs.get(name) ?? 0) - front - objectMs - edge.edgeCallMs - firstMs);
  }
  const linkMs = Math.max(0, nodeCallMs - objectMs);
  return { bestPerS, fastPerS, measured: { ...edge, objectMs, linkMs, frontMs, wireMs, ...nodeTimes(nodes, runs) } };
}

/** Medians of single requests: one that does nothing, a plan, the first rung at the edge by application. */
async function onIdle(
  service: Service,
  users: readonly TraceUser[],
): Promise<{ nothingMs: number; planMs: number; fastMs: Map<string, number> }> {
  const connection = await HttpConnection.open(service.url);
  try {
    const [first] = users;
    if (!first) throw new RangeError("there are no users");
    const nothing = encodeRequest("GET", `${service.url}/v2/health/live`, {}, new Uint8Array());
    const plan = encodeRequest(
      "POST",
      `${service.url}/v1/plan/${first.application.name}?deadline_ms=${PATIENT_MS}${queryOf(DYSTRI)}`,
      { authorization: `Bearer ${service.key({ user: first })}` },
      new Uint8Array(),
    );
    await inSequence(connection, plan, IN_SEQUENCE);
    const nothingMs = median(await inSequence(connection, nothing, IN_SEQUENCE));
    const planMs = median(await inSequence(connection, plan, IN_SEQUENCE));
    const fastMs = new Map<string, number>();
    for (const user of users) {
      if (fastMs.has(user.application.name)) continue;
      const request = service.encode({ user, input: 0 }, STATIC_FAST, PATIENT_MS);
      await inSequence(connection, request, IN_SEQUENCE / 4);
      fastMs.set(user.application.name, median(await inSequence(connection, request, IN_SEQUENCE)));
    }
    return { nothingMs, planMs, fastMs };
  } finally {
    connection.close();
  }
}

/** Answers per second with BUSY_CONNECTIONS requests always on their way, the samples of one user in turn. */
async function closedLoop(service: Service, user: TraceUser, policy: LivePolicy, forMs: number): Promise<number> {
  const connections = new Connections(service.url);
  const beganAt = performance.now();
  const until = beganAt + forMs;
  let [next, answered] = [0, 0];
  const loop = async (): Promise<void> => {
    while (performance.now() < until) {
      const request = { user, input: next++ % service.samplesOf(user) };
      const { status } = await connections.request(service.encode(request, policy, PATIENT_MS));
      if (status === 200) answered++;
    }
  };
  try {
    await Promise.all(Array.from({ length: BUSY_CONNECTIONS }, loop));
  } finally {
    connections.close();
  }
  if (answered === 0) throw new Error(`the service answered nothing to ${policy.name} in ${Math.round(forMs)} ms`);
  return (1000 * answered) / (performance.now() - beganAt);
}

async function controllerOf(service: Service, user: TraceUser): Promise<ControllerRow> {
  const headers = { authorization: `Bearer ${service.key({ user })}` };
  const response = await fetch(`${service.url}/v1/controller`, { headers });
  if (!response.ok) throw new Error(`GET /v1/controller: ${response.status} ${await response.text()}`);
  return (await response.json()) as ControllerRow;
}
