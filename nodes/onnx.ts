/** ONNX Runtime's native build as a Session of runtime/session.ts. */
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { RuntimeTensor, Session } from "../runtime/session.ts";
import { ConfigurationError } from "./log.ts";

export const PROVIDERS = ["cpu", "cuda", "tensorrt", "dml", "coreml", "rocm"] as const;
export type Provider = (typeof PROVIDERS)[number];

export type NativeOptions = {
  provider: Provider;
  /** Threads within one run; 1 keeps latencies steady beside other work. */
  threads: number;
};

/** What must be there for each provider beyond `npm install`. */
const NEEDS: Record<Provider, string> = {
  cpu: "a platform that onnxruntime-node ships a binary for",
  cuda: "Linux on x64, an NVIDIA driver, CUDA 12 with cuDNN 9, and ONNX Runtime's CUDA libraries: ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node",
  tensorrt:
    "everything that cuda needs, and TensorRT 10 on the library path; ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node fetches the libraries",
  dml: "Windows with a DirectX 12 device",
  coreml: "macOS on Apple silicon",
  rocm: "a build of onnxruntime-node with ROCm, which the npm package does not hold; see ONNX Runtime's build instructions",
};

/**
 * Loads one graph. Throws ConfigurationError where the provider is not available, saying what it needs: an agent that
 * was told to use a GPU must not quietly compute on the CPU.
 */
export async function openNative(
  path: string,
  options: NativeOptions = { provider: "cpu", threads: 1 },
): Promise<Session> {
  const { provider, threads } = options;
  let session: InferenceSession;
  try {
    session = await InferenceSession.create(path, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      // 3: errors only; ONNX Runtime's warnings are about graphs, which users of an agent cannot change.
      logSeverityLevel: 3,
    });
  } catch (cause) {
    if (provider === "cpu") throw new ConfigurationError(`${path} cannot be loaded: ${messageOf(cause)}`, { cause });
    throw new ConfigurationError(
      `the provider ${provider} is not available: it needs ${NEEDS[provider]} (${messageOf(cause)})`,
      { cause },
    );
  }
  return new NativeSession(session);
}

class NativeSession implements Session {
  readonly outputs: readonly string[];
  readonly #session: InferenceSession;

  constructor(session: InferenceSession) {
    this.#session = session;
    this.outputs = session.outputNames;
  }

  async run(x: RuntimeTensor): Promise<Record<string, RuntimeTensor>> {
    const results = await this.#session.run({ x: toNative(x) });
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, fromNative(name, tensor)]));
  }
}

function toNative(x: RuntimeTensor): Tensor {
  if (x.type === "float32") return new Tensor("float32", x.data, x.dims);
  return x.type === "uint8" ? new Tensor("uint8", x.data, x.dims) : new Tensor("int64", x.data, x.dims);
}

function fromNative(name: string, tensor: Tensor): RuntimeTensor {
  const { type, data } = tensor;
  const dims = [...tensor.dims];
  if (type === "float32" && data instanceof Float32Array) return { type, data, dims };
  if (type === "uint8" && data instanceof Uint8Array) return { type, data, dims };
  if (type === "int64" && data instanceof BigInt64Array) return { type, data, dims };
  throw new Error(`the output ${name} has the type ${type}, which no stage may have`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
