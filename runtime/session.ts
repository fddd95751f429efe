/** One loaded ONNX graph, whichever runtime holds it: ONNX Runtime in WASM at the edge and in browsers, native on a node. */
export type RuntimeTensor =
  | { type: "float32"; data: Float32Array; dims: number[] }
  | { type: "uint8"; data: Uint8Array; dims: number[] }
  | { type: "int64"; data: BigInt64Array; dims: number[] };

export interface Session {
  /** Names of the graph's outputs, in order. Its one input is called `x`. */
  readonly outputs: readonly string[];
  /** Runs the graph once. Rejects with the runtime's own error. */
  run(x: RuntimeTensor): Promise<Record<string, RuntimeTensor>>;
}

/**
 * Tensors of one sample each, of the same type and shape, as one with all of them along its first dimension. A single
 * one is passed on as it is. Throws RangeError on tensors that do not fit together: the caller's mistake.
 */
export function stacked(tensors: readonly RuntimeTensor[]): RuntimeTensor {
  const [first] = tensors;
  if (!first) throw new RangeError("there is nothing to stack");
  if (tensors.length === 1) return first;
  const fits = ({ type, data, dims }: RuntimeTensor): boolean =>
    type === first.type && data.length === first.data.length && dims.slice(1).join() === first.dims.slice(1).join();
  if (!tensors.every(fits)) throw new RangeError("tensors of different types or shapes do not stack");
  const length = first.data.length;
  const dims = [tensors.length, ...first.dims.slice(1)];
  switch (first.type) {
    case "float32": {
      const data = new Float32Array(tensors.length * length);
      tensors.forEach((tensor, i) => data.set(tensor.data as Float32Array, i * length));
      return { type: first.type, data, dims };
    }
    case "uint8": {
      const data = new Uint8Array(tensors.length * length);
      tensors.forEach((tensor, i) => data.set(tensor.data as Uint8Array, i * length));
      return { type: first.type, data, dims };
    }
    case "int64": {
      const data = new BigInt64Array(tensors.length * length);
      tensors.forEach((tensor, i) => data.set(tensor.data as BigInt64Array, i * length));
      return { type: first.type, data, dims };
    }
  }
}

/** The reverse of `stacked`: `count` tensors of one sample each, with memory of their own where there are several. */
export function samples(tensor: RuntimeTensor, count: number): RuntimeTensor[] {
  if (count === 1) return [tensor];
  const length = tensor.data.length / count;
  const dims = [1, ...tensor.dims.slice(1)];
  return Array.from({ length: count }, (_, i): RuntimeTensor => {
    const [from, to] = [i * length, (i + 1) * length];
    switch (tensor.type) {
      case "float32":
        return { type: tensor.type, data: tensor.data.slice(from, to), dims };
      case "uint8":
        return { type: tensor.type, data: tensor.data.slice(from, to), dims };
      case "int64":
        return { type: tensor.type, data: tensor.data.slice(from, to), dims };
    }
  });
}
