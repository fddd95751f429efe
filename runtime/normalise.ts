/** From the input tensor that travels to the tensor a stage reads: the last step of preprocessing, the same on every tier. */
import type { Application } from "../protocol/application.ts";
import type { InputTensor } from "../protocol/tensor.ts";
import { DystriError } from "../protocol/errors.ts";
import type { RuntimeTensor } from "./session.ts";

/** Checks datatype, shape and byte length against the contract; throws DystriError bad_tensor that names the field. */
export function checkInput(application: Application, input: InputTensor): void {
  const spec = application.input;
  const problem = (field: string, value: unknown, wanted: unknown) =>
    new DystriError(
      "bad_tensor",
      `${field} is ${JSON.stringify(value)}; ${application.name} takes ${JSON.stringify(wanted)}`,
      {
        field,
        value: JSON.stringify(value),
        hint: `send ${spec.name} as ${spec.datatype} of shape [${spec.shape.join(", ")}]`,
      },
    );
  if (input.datatype !== spec.datatype) throw problem("datatype", input.datatype, spec.datatype);
  if (input.shape.length !== spec.shape.length || input.shape.some((size, i) => size !== spec.shape[i])) {
    throw problem("shape", input.shape, spec.shape);
  }
  if (input.bytes.byteLength !== spec.bytes) throw problem("bytes", input.bytes.byteLength, spec.bytes);
}

/** Pixels 0–255 → (x/255 − mean) / std per channel, batch of one. The input must have passed `checkInput`. */
export function normalise(application: Application, input: InputTensor): RuntimeTensor {
  const { mean, std, channels } = application.input.preprocessing;
  const pixels = new Uint8Array(input.bytes);
  const data = new Float32Array(pixels.length);
  const plane = pixels.length / channels;
  for (let c = 0; c < channels; c++) {
    const scale = 1 / (255 * (std[c] as number));
    const shift = -(mean[c] as number) / (std[c] as number);
    for (let i = c * plane; i < (c + 1) * plane; i++) data[i] = (pixels[i] as number) * scale + shift;
  }
  return { type: "float32", data, dims: [1, ...input.shape] };
}
