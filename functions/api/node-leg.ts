/** One attempt at a node for one request: a ticket, a call of its gateway, and the way to take it back. */
import type { NodeReply } from "../../protocol/fleet.ts";
import type { Leg, Option } from "../../protocol/plan.ts";
import type { Start } from "../../protocol/tensor.ts";
import { nodeGateway } from "../stubs.ts";
import { raceTime, TIMED_OUT } from "./race-time.ts";
import type { ServeContext, ServeRequest } from "./served.ts";

export type NodeLeg = { leg: Leg; durMs: number } & (
  { kind: "reply"; reply: NodeReply } | { kind: "late" } | { kind: "lost" }
);

/** Submits the work to `node` and waits until `answerBy`; what comes later is cancelled. Never rejects. */
export async function runOnNode(
  context: ServeContext,
  request: ServeRequest,
  node: string,
  option: Option,
  start: Start,
  answerBy: number,
): Promise<NodeLeg> {
  const { clock, env, signal, waitUntil } = context;
  const { at, rung, minRung, workMs, predictedMs } = option;
  const startedAt = clock.now();
  const took = () => clock.now() - startedAt;
  const sentBytes = (start.from === "input" ? start.input : start.cut).bytes.byteLength;
  const leg: Leg = { at, rung, workMs, predictedMs, tookMs: null, aheadMs: 0, sentBytes, end: "lost" };
  // A new ticket for every attempt: a request's own id may be repeated by whoever sends it.
  const ticket = crypto.randomUUID();
  const remainingMs = answerBy - startedAt;
  const { application, topK } = request;
  const job = { ticket, application: application.name, start, rung, minRung, remainingMs, topK };
  let reply: NodeReply | typeof TIMED_OUT;
  try {
    reply = await clock.settled(raceTime(nodeGateway(env, node).submit(job), remainingMs, signal));
  } catch (error) {
    console.warn(JSON.stringify({ event: "gateway_failed", component: "api", node, error: String(error) }));
    return { kind: "lost", leg, durMs: took() };
  }
  if (reply === TIMED_OUT) {
    waitUntil(
      nodeGateway(env, node)
        .cancel(ticket)
        .catch(() => undefined),
    );
    return { kind: "late", leg: { ...leg, end: "late" }, durMs: took() };
  }
  if (reply.kind === "answer") {
    const { queueMs, computeMs } = reply;
    return { kind: "reply", reply, leg: { ...leg, tookMs: took(), queueMs, computeMs, end: "done" }, durMs: took() };
  }
  // A node that cannot be reached is as good as lost to the controller; other refusals say only that it is busy.
  const gone = reply.kind === "lost" || reply.code === "not_connected" || reply.code === "silent";
  return { kind: "reply", reply, leg: { ...leg, end: gone ? "lost" : "refused" }, durMs: took() };
}
