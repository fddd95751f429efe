/** The HTTP app: request ids, cross-origin headers, routes, and problems for everything that is thrown or not found. */
import { Hono, type MiddlewareHandler } from "hono";
import { methodNotAllowed } from "hono/method-not-allowed";
import type { Application } from "../../protocol/application.ts";
import { DystriError } from "../../protocol/errors.ts";
import { clockOf } from "../clock.ts";
import { requireAdmin } from "./auth.ts";
import { problemContext, type AppEnv, type Catalogue } from "./context.ts";
import { problemResponse } from "./problem.ts";
import { applicationRoutes } from "./routes/applications.ts";
import { controllerRoutes } from "./routes/controller.ts";
import { healthRoutes } from "./routes/health.ts";
import { inferRoutes } from "./routes/infer.ts";
import { nodeAdminRoutes, nodeRoutes } from "./routes/nodes.ts";
import { oipRoutes } from "./routes/oip.ts";
import { planRoutes } from "./routes/plan.ts";
import { userRoutes } from "./routes/users.ts";

/** What browsers may read of a reply; without the first, none can split a binary reply. */
const EXPOSED = [
  "Inference-Header-Content-Length",
  "Server-Timing",
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "Retry-After-Ms",
  "X-Request-Id",
  "Dystri-Deadline-Ms",
  "Preference-Applied",
  "traceparent",
].join(", ");

/** The app that serves `applications`. */
export function createApp(applications: readonly Application[]): Hono<AppEnv> {
  const catalogue: Catalogue = new Map(applications.map((application) => [application.name, application]));
  const app = new Hono<AppEnv>({ strict: false });
  app.use(everyRequest);
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const problem = new DystriError("method_not_allowed", `${c.req.method} is not allowed here`, {
          field: "method",
          value: c.req.method,
          hint: `use ${methods.join(", ")}`,
        });
        const response = problemResponse(problem, problemContext(c));
        response.headers.set("allow", methods.join(", "));
        return response;
      },
    }),
  );
  app.notFound((c) => {
    const problem = new DystriError("not_found", "there is nothing at this address", {
      field: "path",
      value: c.req.path.slice(0, 80),
      hint: "see GET /v1/applications and GET /v2",
    });
    return problemResponse(problem, problemContext(c));
  });
  app.onError((error, c) => problemResponse(error, problemContext(c)));

  app.route("/", inferRoutes(catalogue));
  app.route("/", planRoutes(catalogue));
  app.route("/", applicationRoutes(catalogue));
  app.route("/", controllerRoutes());
  app.route("/", healthRoutes(catalogue));
  app.route("/", oipRoutes(catalogue));
  app.route("/", userRoutes());
  app.route("/v1/nodes", nodeRoutes);
  // After the nodes' own routes, so that the operator's check does not stand before them.
  const operators = new Hono<AppEnv>();
  operators.use(async (c, next) => {
    await requireAdmin(c.env, c.req.raw);
    await next();
  });
  operators.route("/", nodeAdminRoutes);
  app.route("/v1/nodes", operators);
  return app;
}

const everyRequest: MiddlewareHandler<AppEnv> = async (c, next) => {
  c.set("receivedAt", clockOf(c.env).arrive());
  const given = c.req.header("x-request-id");
  const requestId = given !== undefined && /^[\w-]{1,128}$/.test(given) ? given : crypto.randomUUID();
  c.set("requestId", requestId);
  if (c.req.method === "OPTIONS") c.res = preflight(c.req.raw);
  else await next();
  // The response of an upgrade belongs to the object that accepted the socket: it is passed on as it is.
  if (c.res.status === 101) return;
  const { headers } = c.res;
  headers.set("x-request-id", requestId);
  // Only a page in a browser sends Origin and reads these.
  if (c.req.raw.headers.has("origin")) {
    headers.set("access-control-allow-origin", "*");
    headers.set("access-control-expose-headers", EXPOSED);
    headers.set("timing-allow-origin", "*");
  }
};

/** Any origin may call: credentials are keys in headers, never cookies. */
function preflight(request: Request): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE",
      "access-control-allow-headers": request.headers.get("access-control-request-headers") ?? "*",
      "access-control-max-age": "86400",
      vary: "Access-Control-Request-Headers",
    },
  });
}
