/** What every route shares: the types of the app, the serving context of a request, the places it may carry wishes. */
import type { Context } from "hono";
import type { AttemptTiming } from "../../control/attempt-record.ts";
import type { Application } from "../../protocol/application.ts";
import type { Carriers } from "../../protocol/deadline.ts";
import { DystriError, quote } from "../../protocol/errors.ts";
import { clockOf } from "../clock.ts";
import type { ProblemContext } from "./problem.ts";
import type { ServeContext } from "./served.ts";

export type AppEnv = {
  Bindings: ApiEnv;
  Variables: {
    requestId: string;
    /** The request's arrival on the isolate's clock: deadlines count from here. */
    receivedAt: number;
  };
};

export type AppContext = Context<AppEnv>;

/** The applications a deployment serves, by name. */
export type Catalogue = ReadonlyMap<string, Application>;

export function serveContext(c: AppContext): ServeContext {
  return {
    env: c.env,
    clock: clockOf(c.env),
    // Made when it is first looked at, which not every route does.
    get signal() {
      return c.req.raw.signal;
    },
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  };
}

export function problemContext(c: AppContext): ProblemContext {
  return {
    requestId: c.get("requestId"),
    method: c.req.method,
    path: c.req.path,
    accept: c.req.header("accept") ?? null,
  };
}

/** Headers and query of a request, and the parameters of its body where it has such. */
export function carriersOf(c: AppContext, parameters?: Readonly<Record<string, unknown>>): Carriers {
  const { headers, url } = c.req.raw;
  const queryAt = url.indexOf("?");
  return {
    header: (name) => headers.get(name),
    ...(queryAt < 0 ? {} : { query: new URLSearchParams(url.slice(queryAt + 1)) }),
    ...(parameters ? { parameters } : {}),
  };
}

/** Throws DystriError unknown_application. */
export function applicationOf(catalogue: Catalogue, name: string): Application {
  const application = catalogue.get(name);
  if (application) return application;
  throw new DystriError("unknown_application", `there is no application ${quote(name)}`, {
    field: "path",
    value: quote(name),
    hint: `use one of ${[...catalogue.keys()].join(", ")}; GET /v1/applications tells more`,
  });
}

/** Milliseconds as replies show them: to the microsecond. */
export function shownMs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** A Server-Timing header: `decide;dur=0.4, edge;desc="exit 2";dur=6.1`. */
export function serverTiming(entries: readonly AttemptTiming[]): string {
  return entries
    .map(({ name, durMs, desc }) => {
      const text = desc === undefined ? "" : `;desc="${desc.replace(/[^\x20-\x7e]|["\\]/g, "?")}"`;
      return `${name}${text};dur=${shownMs(durMs)}`;
    })
    .join(", ");
}
