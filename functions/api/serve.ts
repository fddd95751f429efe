/** Serving one request: ask the user's controller, follow its plan, answer, and report after the reply. */
import { DystriError } from "../../protocol/errors.ts";
import type { Plan, PlanReply, PlanRequest } from "../../protocol/plan.ts";
import { userController } from "../stubs.ts";
import { Attempt } from "./attempt.ts";
import { edgeView } from "./edge-views.ts";
import { enter, threadPrice } from "./front.ts";
import { REPORT_WITHIN_MS, ReportBox } from "./report-box.ts";
import type { ServeContext, ServeRequest, Served } from "./served.ts";

const reports = new ReportBox();

/** Serves one request. Throws DystriError when there is no answer to give. Reports to the controller after the reply. */
export async function serve(context: ServeContext, request: ServeRequest): Promise<Served> {
  const leave = enter();
  try {
    const plan = await askController(context, request);
    return await follow(context, request, plan);
  } finally {
    leave();
  }
}

async function follow(context: ServeContext, request: ServeRequest, plan: Plan): Promise<Served> {
  const attempt = new Attempt(context, request, plan);
  try {
    await attempt.follow();
    const served = attempt.answer();
    return plan.explanation ? { ...served, explanation: plan.explanation } : served;
  } finally {
    context.waitUntil(tell(context, request.controller, attempt));
  }
}

/** The plan alone: a dry run. Throws DystriError when the controller refuses. */
export async function askController(
  context: ServeContext,
  request: Omit<ServeRequest, "input" | "topK">,
): Promise<Plan> {
  const { env, clock } = context;
  const view = edgeView(request.application.platform, clock.now());
  const price = threadPrice(request.application, clock.now());
  const question: PlanRequest = {
    application: request.application.name,
    secretDigest: request.secretDigest,
    remainingMs: request.receivedAt + request.deadlineMs - clock.now(),
    wishes: request.wishes,
    ...(request.explain ? { explain: true } : {}),
    ...(view ? { edge: view } : {}),
    ...(price > 0 ? { threadPrice: price } : {}),
  };
  const told = reports.take(request.controller, clock.now());
  const ask = (): Promise<PlanReply> => userController(env, request.controller).plan(question);
  let reply: PlanReply;
  try {
    // A stub that failed may stay broken: the one retry asks a new one. Planning changes nothing that a repeat could harm;
    // reports might be learnt from twice, so they are not repeated.
    reply = await clock.settled(userController(env, request.controller).plan(question, told).catch(ask));
  } catch (cause) {
    throw new DystriError("internal", "the user's controller did not answer", {}, cause);
  }
  if (reply.ok) return reply.plan;
  throw new DystriError(reply.code, reply.detail, {
    deadlineMs: request.deadlineMs,
    ...(reply.predictedMs === undefined ? {} : { predictedMs: Math.ceil(reply.predictedMs) }),
    ...(reply.code === "deadline_unmeetable" && reply.predictedMs !== undefined
      ? { hint: `raise deadline_ms to ${Math.ceil(1.2 * (reply.predictedMs + request.deadlineMs * 0.05) + 2)}` }
      : {}),
    ...(reply.code === "overloaded" || reply.code === "quota_exceeded"
      ? { retryAfterMs: reply.retryAfterMs ?? 1000 }
      : {}),
  });
}

/** With the next question, or after a moment of its own. A lost report costs the controller one sample, the user nothing. */
async function tell({ env, clock }: ServeContext, controller: string, attempt: Attempt): Promise<void> {
  const when = reports.add(controller, attempt.report(), clock.now());
  if (when === null) return;
  if (when === "later") await new Promise((resolve) => void setTimeout(resolve, REPORT_WITHIN_MS));
  const left = reports.leave(controller, clock.now());
  if (left.length === 0) return;
  try {
    await userController(env, controller).report(left);
  } catch (error) {
    console.warn(JSON.stringify({ event: "report_lost", component: "api", error: String(error) }));
  }
}
