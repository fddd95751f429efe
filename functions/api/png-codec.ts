/**
 * The PNG decoder of @jsquash/png (Rust's `png` crate) with glue of our own. The package's glue keeps one instance for
 * ever and wants a global ImageData; this one binds the few functions the module imports to plain data, so that
 * an instance that trapped, or whose memory has grown, can be dropped.
 */
// @ts-expect-error The package's declaration describes the instance's exports; Workers import the compiled module.
import module from "@jsquash/png/codec/pkg/squoosh_png_bg.wasm";
import type { RgbaImage } from "../../runtime/image.ts";

const wasm = module as WebAssembly.Module;

type Exports = {
  memory: WebAssembly.Memory;
  __wbindgen_malloc(size: number, align: number): number;
  __wbindgen_free(at: number, size: number, align: number): void;
  decode(at: number, length: number): number;
};

/** WebAssembly memory never shrinks: an instance that a large picture has blown up is not kept. */
const KEEP_BYTES = 16 * 1024 * 1024;

/** The import that takes the finished pixels; the rest of its name is a hash of its signature. */
const TAKE_PIXELS = "__wbg_newwithownedu8clampedarrayandsh_";

let instance: PngInstance | undefined;

class PngInstance {
  readonly #exports: Exports;
  #pixels: RgbaImage | undefined;

  constructor() {
    const imports: Record<string, WebAssembly.ImportValue> = {};
    for (const { name } of WebAssembly.Module.imports(wasm)) imports[name] = this.#bind(name);
    this.#exports = new WebAssembly.Instance(wasm, { wbg: imports }).exports as unknown as Exports;
  }

  get bytes(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  decode(file: Uint8Array): RgbaImage {
    const at = this.#exports.__wbindgen_malloc(file.length, 1) >>> 0;
    new Uint8Array(this.#exports.memory.buffer).set(file, at);
    this.#exports.decode(at, file.length);
    const pixels = this.#pixels;
    this.#pixels = undefined;
    if (!pixels) throw new Error("the PNG decoder returned no pixels");
    return pixels;
  }

  #bind(name: string): (...args: number[]) => number {
    if (!name.startsWith(TAKE_PIXELS)) {
      return () => {
        throw new Error(`the PNG decoder called ${name}`);
      };
    }
    return (at = 0, length = 0, width = 0, height = 0) => {
      const data = new Uint8Array(this.#exports.memory.buffer, at >>> 0, length >>> 0).slice();
      this.#exports.__wbindgen_free(at, length, 1);
      this.#pixels = { width: width >>> 0, height: height >>> 0, data };
      return 0;
    };
  }
}

/** WebAssembly memory the decoder holds between pictures. */
export function pngCodecBytes(): number {
  return instance?.bytes ?? 0;
}

/** Decodes a PNG whose header was checked. Throws whatever the decoder does; the next call starts afresh then. */
export function decodePng(file: Uint8Array): RgbaImage {
  const codec = (instance ??= new PngInstance());
  instance = undefined;
  const image = codec.decode(file);
  if (codec.bytes <= KEEP_BYTES) instance = codec;
  return image;
}
