/** The inference Worker of the audio platform. */
import { bundle } from "../generated/audio.ts";
import { inferenceFor } from "./inference.ts";

export class Inference extends inferenceFor(bundle) {}

export default { fetch: () => new Response(null, { status: 404 }) };
