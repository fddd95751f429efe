/** GET /v1/applications: what can be asked of this service, and how good the answers are. No key needed. */
import { Hono } from "hono";
import type { Application } from "../../../protocol/application.ts";
import { applicationOf, type AppEnv, type Catalogue } from "../context.ts";

export function applicationRoutes(catalogue: Catalogue): Hono<AppEnv> {
  return new Hono<AppEnv>()
    .get("/v1/applications", (c) => c.json({ applications: [...catalogue.values()].map(shown) }))
    .get("/v1/applications/:application", (c) => c.json(shown(applicationOf(catalogue, c.req.param("application")))));
}

function shown(application: Application) {
  const { name, title, platform, version, task, labels, input, quality, deadline, rungs } = application;
  return {
    name,
    title,
    platform,
    version,
    task,
    labels,
    quality_metric: quality.metric,
    rungs: rungs.map((rung, index) => ({
      exit: index + 1,
      name: rung.name,
      tiers: rung.tiers,
      accuracy: rung.quality.test,
      mflops: rung.mflops.cumulative,
    })),
    accepts: input.accepts,
    input: { name: input.name, datatype: input.datatype, shape: input.shape },
    deadline_ms: { default: deadline.defaultMs, max: deadline.maxMs },
  };
}
