/** One call of the inference Worker for one request: what goes out, and what comes back told to the machine. */
import type { AttemptAction } from "../../control/attempt.ts";
import { asDystriError, DystriError } from "../../protocol/errors.ts";
import type { Claim } from "../../protocol/fleet.ts";
import type { EdgeView } from "../../protocol/plan.ts";
import { inference } from "../stubs.ts";
import type { Event, RemoteCall } from "./remote-call.ts";
import { outstanding } from "./edge-views.ts";
import type { ServeContext, ServeRequest } from "./served.ts";

/** Has a job run at the edge. Told to stop, it still ends with what it has finished. */
export function callEdge(
  { env, waitUntil }: ServeContext,
  { application, topK }: ServeRequest,
  claim: Claim,
  { call, plan, option, start, evidence, remainingMs }: Extract<AttemptAction, { do: "edge" }>,
): RemoteCall {
  const back = outstanding(application.platform, plan.options[option]?.workMs ?? 0);
  const ticket = `${plan.planId}:${call}`;
  let closed = false;
  const close = (now: number, view?: EdgeView): void => {
    if (closed) return;
    closed = true;
    back(view, now);
  };
  const run = async (): Promise<Event> => {
    try {
      const { name, platform } = application;
      const job = { application: name, start, plan, option, remainingMs, topK, evidence, claim };
      const result = await inference(env, platform).run(ticket, job);
      if (result.failure)
        console.error(JSON.stringify({ event: "stage_failed", component: "api", detail: result.failure }));
      return (machine, now) => {
        close(now, result.edge);
        return machine.edgeEnded(call, result, now);
      };
    } catch (cause) {
      const error = asDystriError(cause) ?? new DystriError("internal", "the inference Worker failed", {}, cause);
      return (machine, now) => machine.edgeFailed(call, error, now);
    }
  };
  return {
    ended: run(),
    cancel: () =>
      waitUntil(
        inference(env, application.platform)
          .cancel(ticket)
          .catch(() => undefined),
      ),
    close,
  };
}
