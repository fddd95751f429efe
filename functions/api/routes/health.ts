/** Liveness and readiness, as Open Inference Protocol clients and balancers ask for them. No key needed. */
import { Hono } from "hono";
import { DystriError } from "../../../protocol/errors.ts";
import { inference } from "../../stubs.ts";
import { problemContext, type AppContext, type AppEnv, type Catalogue } from "../context.ts";
import { problemResponse } from "../problem.ts";
import { raceTime, TIMED_OUT } from "../race-time.ts";

/** A cold inference Worker loads its runtime and models within a second or two. */
const WARM_WITHIN_MS = 10_000;

export function healthRoutes(catalogue: Catalogue): Hono<AppEnv> {
  const platforms = [...new Set(Array.from(catalogue.values(), (application) => application.platform))];
  return new Hono<AppEnv>()
    .get("/v2/health/live", (c) => c.json({ live: true, ready: true }))
    .get("/v2/health/ready", async (c) => {
      const failure = await readiness(c, platforms);
      if (!failure) return c.json({ live: true, ready: true });
      return problemResponse(failure, problemContext(c), { live: true, ready: false });
    });
}

/** Null when every platform's inference Worker is warm, else the problem. Warming is part of the question. */
export async function readiness(c: AppContext, platforms: readonly string[]): Promise<DystriError | null> {
  const cold = await Promise.all(platforms.map((platform) => coldness(c, platform)));
  const first = cold.find((failure) => failure !== null);
  return first ?? null;
}

async function coldness(c: AppContext, platform: string): Promise<DystriError | null> {
  const notReady = (cause: unknown): DystriError =>
    new DystriError(
      "not_ready",
      `the inference Worker of ${platform} is not warm`,
      { field: "platform", value: platform, hint: "retry after a pause; the logs say why" },
      cause,
    );
  try {
    const warm = await raceTime(inference(c.env, platform).warm(), WARM_WITHIN_MS, c.req.raw.signal);
    return warm === TIMED_OUT ? notReady(new Error(`no answer within ${WARM_WITHIN_MS} ms`)) : null;
  } catch (cause) {
    return notReady(cause);
  }
}
