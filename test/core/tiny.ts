/** The fixture application, read from disk as every Node side does. */
import { readFileSync } from "node:fs";
import path from "node:path";
import * as ort from "onnxruntime-node";
import { parseApplication } from "../../nodes/parse-application.ts";
import type { RuntimeTensor, Session } from "../../runtime/session.ts";

const folder = path.join(import.meta.dirname, "../fixtures/tiny");

export const tinyJson = (): unknown => JSON.parse(readFileSync(path.join(folder, "app.json"), "utf8"));

export const tiny = parseApplication(tinyJson());

export type Sample = { label: number; bytes: ArrayBuffer; logits: number[][] };

export const samples: Sample[] = (
  JSON.parse(readFileSync(path.join(folder, "samples.json"), "utf8")) as {
    label: number;
    bytes: string;
    logits: number[][];
  }[]
).map(({ bytes, ...rest }) => ({ ...rest, bytes: Uint8Array.from(Buffer.from(bytes, "base64")).buffer }));

/** A session on onnxruntime-node. */
export async function session(file: string): Promise<Session> {
  const loaded = await ort.InferenceSession.create(path.join(folder, file), { intraOpNumThreads: 1 });
  return {
    outputs: loaded.outputNames,
    async run(x) {
      const results = await loaded.run({ x: new ort.Tensor("float32", x.data as Float32Array, x.dims) });
      return Object.fromEntries(
        Object.entries(results).map(([name, { data, dims }]) => {
          const tensor: RuntimeTensor = { type: "float32", data: data as Float32Array, dims: [...dims] };
          return [name, tensor];
        }),
      );
    },
  };
}
