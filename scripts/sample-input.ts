/** A committed sample as the input tensor its application takes, decoded in Node as the API decodes it in a Worker. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { Application } from "../protocol/application.ts";
import type { InputTensor } from "../protocol/tensor.ts";
import { imageTensor, type RgbaImage } from "../runtime/image.ts";
import { inputTensor } from "../runtime/input-tensor.ts";

/** Reads `file`. Images must be PNG: that is what samples are. Rejects when the file does not fit the application. */
export async function sampleInput(application: Application, file: string): Promise<InputTensor> {
  const { preprocessing } = application.input;
  const body = new Uint8Array(await readFile(file));
  return preprocessing.kind === "image"
    ? imageTensor(await decodePng(body), preprocessing)
    : inputTensor(preprocessing, body);
}

/** Node has it; the types of Node name it as a namespace only. */
const { WebAssembly: wasmApi } = globalThis as unknown as {
  WebAssembly: { compile(bytes: Uint8Array): Promise<object> };
};

type PngCodec = { init(module: object): Promise<unknown>; decode(bytes: ArrayBuffer): Promise<RgbaImage> };

let codec: Promise<PngCodec> | undefined;

async function decodePng(body: Uint8Array<ArrayBuffer>): Promise<RgbaImage> {
  const png = await (codec ??= openCodec());
  return png.decode(body.buffer);
}

async function openCodec(): Promise<PngCodec> {
  // Browsers have this class and Node does not; the codec makes one of what it has decoded.
  Object.assign(globalThis, {
    ImageData: class implements RgbaImage {
      readonly data: Uint8ClampedArray;
      readonly width: number;
      readonly height: number;

      constructor(data: Uint8ClampedArray, width: number, height: number) {
        [this.data, this.width, this.height] = [data, width, height];
      }
    },
  });
  const png = (await import("@jsquash/png/decode.js")) as unknown as PngCodec;
  const wasm = createRequire(import.meta.url).resolve("@jsquash/png/codec/pkg/squoosh_png_bg.wasm");
  await png.init(await wasmApi.compile(await readFile(wasm)));
  return png;
}
