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

/**
 * The tensor of one sample that the stages read, batch of one. The input must have passed `checkInput`.
 * image: (x/255 − mean) / std per channel. table: (x − mean) / std per feature. bytes: the values as int64.
 */
export function normalise(application: Application, input: InputTensor): RuntimeTensor {
  const { preprocessing } = application.input;
  const values = new Uint8Array(input.bytes);
  const dims = [1, ...input.shape];
  switch (preprocessing.kind) {
    case "image": {
      const mean = preprocessing.mean.map((value) => value * 255);
      const std = preprocessing.std.map((value) => value * 255);
      return { type: "float32", data: standardised(values, mean, std, values.length / preprocessing.channels), dims };
    }
    case "table":
      return { type: "float32", data: standardised(values, preprocessing.mean, preprocessing.std, 1), dims };
    case "bytes":
      return { type: "int64", data: BigInt64Array.from(values, BigInt), dims };
  }
}

/** (x − mean) / std, where each run of `every` values shares one mean and std. */
function standardised(
  values: Uint8Array,
  mean: readonly number[],
  std: readonly number[],
  every: number,
): Float32Array {
  const data = new Float32Array(values.length);
  for (const [part, from] of mean.entries()) {
    const scale = 1 / (std[part] as number);
    const shift = -from * scale;
    for (let i = part * every; i < (part + 1) * every; i++) data[i] = (values[i] as number) * scale + shift;
  }
  return data;
}

/** The leading `take` elements of a sample, for a stage that reads no more; the tensor itself without `take`. */
export function leading(x: RuntimeTensor, take: number | undefined): RuntimeTensor {
  if (take === undefined || take === x.data.length) return x;
  // A copy, not a view: runtimes read a tensor's whole buffer.
  const dims = [1, take];
  switch (x.type) {
    case "float32":
      return { type: x.type, data: x.data.slice(0, take), dims };
    case "uint8":
      return { type: x.type, data: x.data.slice(0, take), dims };
    case "int64":
      return { type: x.type, data: x.data.slice(0, take), dims };
  }
}
