/** The inference Worker of the text platform. */
import { bundle } from "../generated/text.ts";
import { inferenceFor } from "./inference.ts";

export class Inference extends inferenceFor(bundle) {}

export default { fetch: () => new Response(null, { status: 404 }) };
