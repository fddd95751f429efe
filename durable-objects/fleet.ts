import { DurableObject } from "cloudflare:workers";
export class NodeGateway extends DurableObject<FleetEnv> {}
export class Coordinator extends DurableObject<FleetEnv> {}
export default { fetch: () => new Response(null, { status: 404 }) };
