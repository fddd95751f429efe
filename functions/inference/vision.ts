import { WorkerEntrypoint } from "cloudflare:workers";
export class Inference extends WorkerEntrypoint<InferenceEnv> {}
export default { fetch: () => new Response(null, { status: 404 }) };
