/** GET /v1/controller: what the caller's own controller believes of machines, prices and its predictions. */
import { Hono } from "hono";
import { ERRORS, DystriError } from "../../../protocol/errors.ts";
import { userController } from "../../stubs.ts";
import { authenticate } from "../auth.ts";
import { serveContext, shownMs, type AppEnv } from "../context.ts";

export function controllerRoutes(): Hono<AppEnv> {
  return new Hono<AppEnv>().get("/v1/controller", async (c) => {
    const caller = await authenticate(c.env, c.req.raw);
    const { clock } = serveContext(c);
    const insight = await clock.settled(userController(c.env, caller.controller).insight(caller.secretDigest));
    if (!insight) throw new DystriError("unauthenticated", ERRORS.unauthenticated.title);
    const { weight, share, nodeUse, edgeUse, debt, quotaPerSecond } = insight.standing;
    return c.json({
      weight,
      share,
      node_use_over_share: nodeUse,
      edge_use_over_share: edgeUse,
      debt,
      quota_per_second: quotaPerSecond,
      edge: insight.edge.map(({ platform, slowdown, overheadMs, spreadMs, tail }) => ({
        platform,
        slowdown,
        overhead_ms: shownMs(overheadMs),
        spread_ms: shownMs(spreadMs),
        tail,
      })),
      nodes: insight.nodes.map(({ node, price, priceHere, aheadMs, ageMs, linkMs }) => ({
        node,
        price,
        price_for_you: priceHere,
        ahead_ms: shownMs(aheadMs),
        age_ms: shownMs(ageMs),
        link_ms: shownMs(linkMs),
      })),
      predictions: insight.predictions.map((row) => ({
        application: row.application,
        tier: row.tier,
        exit: row.rung + 1,
        count: row.count,
        predicted_ms: shownMs(row.sumPredictedMs / row.count),
        actual_ms: shownMs(row.sumActualMs / row.count),
        mean_error_ms: shownMs(row.sumErrorMs / row.count),
        mean_absolute_error_ms: shownMs(row.sumAbsErrorMs / row.count),
        worst_error_ms: shownMs(row.worstErrorMs),
      })),
    });
  });
}
