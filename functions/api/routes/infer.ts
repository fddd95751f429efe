/** POST /v1/infer/{application}: one input in, the best answer that is on time out. */
import { Hono } from "hono";
import { readDeadline } from "../../../protocol/deadline.ts";
import { authenticate } from "../auth.ts";
import { readBytes } from "../body.ts";
import {
  applicationOf,
  carriersOf,
  serveContext,
  serverTiming,
  shownMs,
  type AppEnv,
  type Catalogue,
} from "../context.ts";
import { admit } from "../front.ts";
import { readInput } from "../input.ts";
import { serve } from "../serve.ts";
import { namedAnswer } from "../answer.ts";
import { shownCandidates } from "../explain.ts";
import { readWishes, refuseUnknownQuery } from "../wishes.ts";

export function inferRoutes(catalogue: Catalogue): Hono<AppEnv> {
  return new Hono<AppEnv>().post("/v1/infer/:application", async (c) => {
    const caller = await authenticate(c.env, c.req.raw);
    const application = applicationOf(catalogue, c.req.param("application"));
    const carriers = carriersOf(c);
    if (carriers.query) refuseUnknownQuery(carriers.query);
    const deadline = readDeadline(carriers, application.deadline);
    const { wishes, topK, explain } = readWishes(carriers, application);
    const context = serveContext(c);
    const body = await context.clock.settled(readBytes(c.req.raw));
    // Not before: a reply that overtakes the body ends the connection, and what the client is still sending breaks on it.
    admit(context, caller.controller, deadline.deadlineMs);
    const input = await readInput(application, c.req.header("content-type") ?? null, body);
    const served = await serve(context, {
      controller: caller.controller,
      secretDigest: caller.secretDigest,
      application,
      input,
      receivedAt: c.get("receivedAt"),
      deadlineMs: deadline.deadlineMs,
      wishes,
      topK,
      explain,
    });
    const reply = {
      ...namedAnswer(application, served),
      confidence: served.answer.confidence,
      deadline_ms: served.deadlineMs,
      deadline_met: served.deadlineMet,
      predicted_ms: shownMs(served.predictedMs),
      total_ms: shownMs(served.totalMs),
      ...(served.queueMs === undefined ? {} : { queue_ms: shownMs(served.queueMs) }),
      ...(served.computeMs === undefined ? {} : { compute_ms: shownMs(served.computeMs) }),
      degraded: served.degraded,
      reason: served.reason,
      ...(served.explanation ? { explain: shownCandidates(application, served.explanation) } : {}),
      application: application.name,
      request_id: c.get("requestId"),
    };
    return c.json(reply, 200, {
      "Server-Timing": serverTiming(served.timing),
      "Dystri-Deadline-Ms": String(served.deadlineMs),
      ...(deadline.preferenceApplied === undefined ? {} : { "Preference-Applied": deadline.preferenceApplied }),
    });
  });
}
