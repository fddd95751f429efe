/** The fleet Worker: the coordinator and the nodes' gateways. Other Workers bind to its objects; it serves no HTTP of its own. */
export { Coordinator } from "./coordinator.ts";
export { NodeGateway } from "./node-gateway.ts";

export default { fetch: () => new Response(null, { status: 404 }) };
