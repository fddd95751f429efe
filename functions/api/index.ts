import { DurableObject } from "cloudflare:workers";
export class UserController extends DurableObject<ApiEnv> {}
export default { fetch: () => new Response(null, { status: 404 }) };
