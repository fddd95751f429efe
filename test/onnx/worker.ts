/** The inference Worker under test, with fixture models. */
import { inferenceFor } from "../../functions/inference/inference.ts";
import { bundle } from "./bundle.ts";

export class Inference extends inferenceFor(bundle) {}

export default { fetch: () => new Response(null, { status: 404 }) };
