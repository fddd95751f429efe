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
