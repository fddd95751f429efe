/** The Worker under test: the real objects, and the routes that nodes and operators call. */
import { Hono } from "hono";
import { nodeAdminRoutes, nodeRoutes } from "../../functions/api/routes/nodes.ts";
import { asDystriError, ERRORS } from "../../protocol/errors.ts";

export { Coordinator } from "../../durable-objects/coordinator.ts";
export { NodeGateway } from "../../durable-objects/node-gateway.ts";
export { UserController } from "../../durable-objects/user-controller.ts";

export default new Hono<{ Bindings: ApiEnv }>()
  .route("/v1/nodes", nodeRoutes)
  .route("/v1/nodes", nodeAdminRoutes)
  .onError((thrown, c) => {
    const error = asDystriError(thrown);
    if (!error) throw thrown;
    return c.json({ code: error.code, detail: error.message, ...error.details }, ERRORS[error.code].status as 400);
  });
