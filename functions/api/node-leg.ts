/** One attempt at a node for one request: a ticket, a call of its gateway, and the way to take it back. */
import type { AttemptAction } from "../../control/attempt.ts";
import type { Claim } from "../../protocol/fleet.ts";
import { nodeGateway } from "../stubs.ts";
import type { Event, RemoteCall } from "./remote-call.ts";
import type { ServeContext, ServeRequest } from "./served.ts";

/** Submits the work to a node. */
export function callNode(
  { env, waitUntil }: ServeContext,
  { application, topK }: ServeRequest,
  claim: Claim,
  { call, node, option, start, remainingMs }: Extract<AttemptAction, { do: "node" }>,
): RemoteCall {
  // A new ticket for every attempt: a request's own id may be repeated by whoever sends it.
  const ticket = crypto.randomUUID();
  const { rung, minRung } = option;
  const run = async (): Promise<Event> => {
    try {
      const job = { ticket, application: application.name, start, rung, minRung, remainingMs, topK, claim };
      const reply = await nodeGateway(env, node).submit(job);
      return (machine, now) => machine.nodeEnded(call, reply, now);
    } catch (error) {
      console.warn(JSON.stringify({ event: "gateway_failed", component: "api", node, error: String(error) }));
      return (machine, now) => machine.nodeLost(call, now);
    }
  };
  return {
    ended: run(),
    cancel: () =>
      waitUntil(
        nodeGateway(env, node)
          .cancel(ticket)
          .catch(() => undefined),
      ),
    close: () => undefined,
  };
}
