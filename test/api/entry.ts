/** The Worker under test: the real API Worker and the real objects, in one script. */
export { Coordinator, NodeGateway } from "../../durable-objects/fleet.ts";
export { default, UserController } from "../../functions/api/index.ts";
