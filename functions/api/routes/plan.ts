/** POST /v1/plan/{application}: the dry run. Says what would be done for a deadline; nothing is computed. */
import { Hono } from "hono";
import type { Application } from "../../../protocol/application.ts";
import { readDeadline } from "../../../protocol/deadline.ts";
import type { Option, Plan } from "../../../protocol/plan.ts";
import { authenticate } from "../auth.ts";
import { applicationOf, carriersOf, serveContext, shownMs, type AppEnv, type Catalogue } from "../context.ts";
import { shownCandidates } from "../explain.ts";
import { askController } from "../serve.ts";
import { readWishes, refuseUnknownQuery } from "../wishes.ts";

export function planRoutes(catalogue: Catalogue): Hono<AppEnv> {
  return new Hono<AppEnv>().post("/v1/plan/:application", async (c) => {
    const caller = await authenticate(c.env, c.req.raw);
    const application = applicationOf(catalogue, c.req.param("application"));
    const carriers = carriersOf(c);
    if (carriers.query) refuseUnknownQuery(carriers.query);
    const { deadlineMs } = readDeadline(carriers, application.deadline);
    const { wishes, explain } = readWishes(carriers, application);
    const plan = await askController(serveContext(c), {
      controller: caller.controller,
      secretDigest: caller.secretDigest,
      application,
      receivedAt: c.get("receivedAt"),
      deadlineMs,
      wishes,
      explain,
    });
    return c.json(
      {
        application: application.name,
        request_id: c.get("requestId"),
        deadline_ms: deadlineMs,
        ...shownPlan(application, plan),
      },
      200,
      { "Dystri-Deadline-Ms": String(deadlineMs) },
    );
  });
}

function shownPlan(application: Application, plan: Plan) {
  return {
    plan_id: plan.planId,
    first: plan.first,
    options: plan.options.map((option) => shownOption(application, option)),
    thresholds: plan.next.map((actions, exit) => ({ exit: exit + 1, rules: rulesOf(application, exit, actions) })),
    otherwise: plan.otherwise,
    margin_ms: shownMs(plan.marginMs),
    ...(plan.explanation ? { explain: shownCandidates(application, plan.explanation) } : {}),
    reason: plan.reason,
  };
}

function shownOption(application: Application, option: Option) {
  return {
    tier: option.at.tier,
    node: option.at.tier === "node" ? option.at.node : null,
    exit: option.rung + 1,
    rung: application.rungs[option.rung]?.name ?? "",
    /** "input", or the exit whose tensor is resumed from. */
    from: option.from === "input" ? "input" : option.from + 1,
    predicted_ms: shownMs(option.predictedMs),
    work_ms: shownMs(option.workMs),
  };
}

/** One exit's decisions by confidence: bins that decide alike are one rule, which holds above its confidence. */
function rulesOf(application: Application, exit: number, actions: Plan["next"][number]) {
  const rules: { above: number; then: "stop" | number }[] = [];
  actions.forEach((then, bin) => {
    if (rules.at(-1)?.then === then) return;
    rules.push({ above: bin === 0 ? 0 : (application.rungs[exit]?.evidence[bin]?.from ?? 0), then });
  });
  return rules;
}
