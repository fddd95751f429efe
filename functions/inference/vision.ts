/** The inference Worker of the vision platform. */
import { bundle } from "../generated/vision.ts";
import { inferenceFor } from "./inference.ts";

export class Inference extends inferenceFor(bundle) {}

export default { fetch: () => new Response(null, { status: 404 }) };
