/** From the input tensor that travels to the tensor a stage reads: the last step of preprocessing, the same on every tier. */
import type { Application } from "../protocol/application.ts";
import type { InputTensor } from "../protocol/tensor.ts";
import { DystriError } from "../protocol/errors.ts";
import { elements } from "./application.ts";
import type { RuntimeTensor } from "./session.ts";
import { idsOf, withPairs } from "./text-tokens.ts";

/** Checks datatype, shape, byte length and word ids against the contract; throws DystriError bad_tensor that names the field. */
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
  if (spec.preprocessing.kind === "tokens") {
    // A model has no row for an id beyond its buckets.
    const { buckets } = spec.preprocessing;
    const beyond = idsOf(input).find((id) => id > buckets);
    if (beyond !== undefined) throw problem("id", beyond, `ids from 0 to ${buckets}`);
  }
}

/** An input of no meaning that passes `checkInput`, to measure with: zeros would let some kernels skip work. */
export function exampleInput(application: Application): InputTensor {
  const { datatype, shape, bytes, preprocessing } = application.input;
  if (preprocessing.kind !== "tokens") {
    const values = Uint8Array.from({ length: bytes }, (_, i) => (i * 167 + (i >> 3) * 29) & 0xff);
    return { datatype, shape, bytes: values.buffer };
  }
  const view = new DataView(new ArrayBuffer(bytes));
  for (let i = 0; i < bytes / 2; i++) view.setUint16(2 * i, 1 + ((i * 40_503) % preprocessing.buckets), true);
  return { datatype, shape, bytes: view.buffer };
}

/**
 * The tensor of one sample that the stages read, batch of one. The input must have passed `checkInput`.
 * image: (x/255 − mean) / std per channel. table: (x − mean) / std per feature. log-mel: (x·scale + offset − mean)
 * / std. bytes: the values as int64. tokens: the ids as int64, each beside the id of its pair where the contract has pairs.
 */
export function normalise(application: Application, input: InputTensor): RuntimeTensor {
  const { preprocessing } = application.input;
  const dims = [1, ...input.shape];
  switch (preprocessing.kind) {
    case "image": {
      const values = new Uint8Array(input.bytes);
      const mean = preprocessing.mean.map((value) => value * 255);
      const std = preprocessing.std.map((value) => value * 255);
      return { type: "float32", data: standardised(values, mean, std, values.length / preprocessing.channels), dims };
    }
    case "table":
      return {
        type: "float32",
        data: standardised(new Uint8Array(input.bytes), preprocessing.mean, preprocessing.std, 1),
        dims,
      };
    case "log-mel": {
      const { scale, offset, mean, std } = preprocessing;
      const data = standardised(
        new Uint8Array(input.bytes),
        [(mean - offset) / scale],
        [std / scale],
        input.bytes.byteLength,
      );
      return { type: "float32", data, dims };
    }
    case "bytes":
      return { type: "int64", data: BigInt64Array.from(new Uint8Array(input.bytes), BigInt), dims };
    case "tokens": {
      const ids = idsOf(input);
      if (preprocessing.bigramBuckets === undefined) {
        return { type: "int64", data: BigInt64Array.from(ids, BigInt), dims };
      }
      const pairs = withPairs(ids, preprocessing.segments, preprocessing.bigramBuckets);
      return { type: "int64", data: BigInt64Array.from(pairs, BigInt), dims: [...dims, 2] };
    }
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

/**
 * The leading `take` elements of a sample, for a stage that reads no more; the tensor itself without `take`. Of tokens
 * with pairs an element is an id and its pair.
 */
export function leading(x: RuntimeTensor, take: number | undefined): RuntimeTensor {
  if (take === undefined || take === x.dims[1]) return x;
  const [, , ...element] = x.dims;
  const dims = [1, take, ...element];
  const end = elements(dims);
  // A copy, not a view: runtimes read a tensor's whole buffer.
  switch (x.type) {
    case "float32":
      return { type: x.type, data: x.data.slice(0, end), dims };
    case "uint8":
      return { type: x.type, data: x.data.slice(0, end), dims };
    case "int64":
      return { type: x.type, data: x.data.slice(0, end), dims };
  }
}
