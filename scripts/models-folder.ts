/** The committed applications: where they are, what they are called, how their stages are opened on this machine. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Application } from "../protocol/application.ts";
import { findApplications, readApplication } from "../nodes/models.ts";
import type { RuntimeTensor, Session } from "../runtime/session.ts";

export const MODELS = join(import.meta.dirname, "..", "models");

/** Names of all committed applications, sorted. */
export const applicationNames = (): Promise<string[]> => findApplications(MODELS);

/** Throws ConfigurationError that names the file and what is wrong in it. */
export const loadApplication = (name: string): Promise<Application> => readApplication(join(MODELS, name, "app.json"));

/** Opens a stage in ONNX Runtime's WASM build, one thread, as the edge runs it. */
export async function openWasm(path: string): Promise<Session> {
  const ort = await import("onnxruntime-web/wasm");
  if (!ort.env.wasm.wasmBinary) {
    const wasm = createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm");
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = await readFile(wasm);
  }
  const session = await ort.InferenceSession.create(await readFile(path), { executionProviders: ["wasm"] });
  return {
    outputs: session.outputNames,
    async run(x: RuntimeTensor) {
      const outputs = await session.run({ x: new ort.Tensor(x.type, x.data as Float32Array, x.dims) });
      return Object.fromEntries(
        Object.entries(outputs).map(([name, { data, dims }]) => [
          name,
          { type: "float32", data: data as Float32Array, dims: [...dims] },
        ]),
      );
    },
  };
}
