/**
 * ONNX Runtime inside workerd: one runtime per isolate, loaded at first use, one session per stage.
 *
 * Workers may not compile WebAssembly from bytes, and ONNX Runtime has no way to be given a compiled module. Its one
 * call of `WebAssembly.instantiate` is therefore answered with the bundled module while it starts, and only then.
 * `wasmBinary` makes it use the glue code it embeds instead of fetching some; its content is never looked at.
 */
import * as ort from "onnxruntime-web/wasm";
import wasmModule from "onnxruntime-web/ort-wasm-simd-threaded.wasm";
import { rungAt } from "../../control/ladder.ts";
import { DystriError } from "../../protocol/errors.ts";
import type { IsolateReport } from "../../protocol/inference.ts";
import type { RuntimeTensor, Session } from "../../runtime/session.ts";
import { StageRunner } from "../../runtime/stage-runner.ts";
import type { PlatformBundle } from "./bundle.ts";

const WASM_MAGIC = [0, 0x61, 0x73, 0x6d];

const SESSION_OPTIONS = {
  executionProviders: ["wasm"],
  // The arena and memory patterns cost memory that a one-sample stage never earns back. Prepacked weights do earn it: without
  // them matrix products take up to 2.5 times as long (landcover e4, `npm run models:profile`), and memory is the same.
  enableCpuMemArena: false,
  enableMemPattern: false,
  extra: { session: { use_device_allocator_for_initializers: "1" } },
} as const satisfies ort.InferenceSession.SessionOptions;

/** The linear memory of the one runtime an isolate can have. */
let linearMemory: WebAssembly.Memory | null = null;

function memoryIn(values: object): WebAssembly.Memory | null {
  for (const value of Object.values(values) as unknown[]) if (value instanceof WebAssembly.Memory) return value;
  return null;
}

/** Runs `start` while `WebAssembly.instantiate` answers with the bundled module. Not to be entered twice at a time. */
async function withBundledModule<T>(start: () => Promise<T>): Promise<T> {
  Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: new Uint8Array(WASM_MAGIC) });
  const original = WebAssembly.instantiate;
  const redirected = async (source: unknown, imports: WebAssembly.Imports = {}): Promise<unknown> => {
    if (source instanceof WebAssembly.Module) return original(source, imports);
    const instance = await original(wasmModule, imports);
    // The threaded build imports its memory; a build that exports it instead is found as well.
    const groups = [...Object.values(imports), instance.exports] as object[];
    linearMemory = groups.map(memoryIn).find((memory) => memory !== null) ?? null;
    return { instance, module: wasmModule };
  };
  WebAssembly.instantiate = redirected as typeof original;
  try {
    return await start();
  } finally {
    WebAssembly.instantiate = original;
  }
}

function toOrt(x: RuntimeTensor): ort.Tensor {
  switch (x.type) {
    case "float32":
      return new ort.Tensor("float32", x.data, x.dims);
    case "uint8":
      return new ort.Tensor("uint8", x.data, x.dims);
    case "int64":
      return new ort.Tensor("int64", x.data, x.dims);
  }
}

function fromOrt(name: string, { type, data, dims }: ort.Tensor): RuntimeTensor {
  if (type === "float32") return { type, data: data as Float32Array, dims: [...dims] };
  if (type === "uint8") return { type, data: data as Uint8Array, dims: [...dims] };
  if (type === "int64") return { type, data: data as BigInt64Array, dims: [...dims] };
  throw new Error(`output ${name} has the type ${type}`);
}

function asSession(session: ort.InferenceSession): Session {
  return {
    outputs: session.outputNames,
    async run(x) {
      const results = await session.run({ x: toOrt(x) });
      return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, fromOrt(name, tensor)]));
    },
  };
}

export type Loaded = {
  /** By application name. */
  runners: ReadonlyMap<string, StageRunner>;
  sessions: IsolateReport["sessions"];
};

/** Creates every session of a bundle, one after another: ONNX Runtime does not take two at a time. */
async function load({ applications }: PlatformBundle): Promise<Loaded> {
  const runners = new Map<string, StageRunner>();
  const sessions: IsolateReport["sessions"] = [];
  for (const { application, stages } of applications) {
    const own: (Session | null)[] = [];
    for (const [rung, model] of stages.entries()) {
      if (model === null) {
        own.push(null);
        continue;
      }
      const { stage: file } = rungAt(application, rung);
      own.push(asSession(await ort.InferenceSession.create(new Uint8Array(model), SESSION_OPTIONS)));
      sessions.push({ application: application.name, rung, file, bytes: model.byteLength });
    }
    runners.set(application.name, new StageRunner(application, own));
  }
  return { runners, sessions };
}

/** The runtime and sessions of one bundle. An isolate makes one, at module scope. */
export class OnnxRuntime {
  readonly #bundle: PlatformBundle;
  #loading: Promise<Loaded> | undefined;
  #outcome: Loaded | "failed" | null = null;

  constructor(bundle: PlatformBundle) {
    this.#bundle = bundle;
  }

  /** True once loading has ended, well or not. */
  get settled(): boolean {
    return this.#outcome !== null;
  }

  /** Empty before `load` has settled well. */
  get sessions(): IsolateReport["sessions"] {
    return this.#outcome === null || this.#outcome === "failed" ? [] : this.#outcome.sessions;
  }

  /** Bytes of wasm linear memory: 0 before the start. It grows and never shrinks. */
  get wasmBytes(): number {
    return linearMemory?.buffer.byteLength ?? 0;
  }

  /**
   * Loads at the first call; all calls share its outcome. Rejects with DystriError runtime_init_failed, for good: a
   * failed start poisons ONNX Runtime until the isolate is replaced. The caller keeps its context alive with
   * waitUntil, because other requests wait for the same promise.
   */
  load(): Promise<Loaded> {
    return (this.#loading ??= this.#start());
  }

  async #start(): Promise<Loaded> {
    try {
      const loaded = await withBundledModule(() => load(this.#bundle));
      this.#outcome = loaded;
      return loaded;
    } catch (cause) {
      this.#outcome = "failed";
      const detail = cause instanceof Error ? cause.message : String(cause);
      const { platform } = this.#bundle;
      throw new DystriError("runtime_init_failed", `the ${platform} models could not be loaded: ${detail}`, {}, cause);
    }
  }
}
