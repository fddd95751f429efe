/**
 * The JPEG decoder of @jsquash/jpeg (mozjpeg). Emscripten's glue runs once per instance; an instance that gave up on
 * a picture, or whose memory has grown, is dropped: its stack was not unwound, and WebAssembly memory never shrinks.
 */
import factory from "@jsquash/jpeg/codec/dec/mozjpeg_dec.js";
import wasm from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm";
import type { RgbaImage } from "../../runtime/image.ts";

/** An instance starts with 16 MiB. */
const KEEP_BYTES = 24 * 1024 * 1024;

/** What mozjpeg says, and does not count as an error, when it fills in what the file does not hold. */
const DAMAGE = /premature end|bad huffman code|invalid|unsupported marker|inconsistent/i;

type Codec = {
  decode(file: Uint8Array, preserveOrientation: boolean): RgbaImage | null;
  HEAP8: Int8Array;
};

type Instance = { codec: Codec; messages: string[] };

let instance: Promise<Instance> | undefined;
let heldBytes = 0;

/** WebAssembly memory the decoder holds between pictures. */
export function jpegCodecBytes(): number {
  return heldBytes;
}

function drop(): void {
  instance = undefined;
  heldBytes = 0;
}

/** The instance in use; asked for again when another picture broke it while it was being waited for. */
async function current(): Promise<Instance> {
  for (;;) {
    const mine = (instance ??= start());
    const ready = await mine;
    if (instance === mine) return ready;
  }
}

/**
 * Decodes a JPEG whose header was checked, turned upright by its EXIF orientation. Rejects when the decoder gives up
 * or had to invent part of the picture, with the decoder's own words; the next call starts afresh then.
 */
export async function decodeJpeg(file: Uint8Array): Promise<RgbaImage> {
  const { codec, messages } = await current();
  messages.length = 0;
  let image: RgbaImage | null = null;
  try {
    image = withImageData(() => codec.decode(file, true));
  } catch (error) {
    drop();
    throw new Error(messages.join("; ") || "the JPEG decoder gave up", { cause: error });
  }
  heldBytes = codec.HEAP8.byteLength;
  if (heldBytes > KEEP_BYTES) drop();
  const damage = messages.find((message) => DAMAGE.test(message));
  if (!image || damage) throw new Error(damage ?? "the JPEG decoder returned no pixels");
  return image;
}

async function start(): Promise<Instance> {
  const messages: string[] = [];
  const say = (text: string): void => void messages.push(text);
  try {
    // The factory runs up to its first await inside withImageData, which is all of it: instantiation is synchronous.
    const codec = await withImageData(() =>
      factory({
        noInitialRun: true,
        print: say,
        printErr: say,
        // Without it the glue would build a URL from import.meta.url, which bundled Workers do not have.
        locateFile: (name: string) => name,
        instantiateWasm: (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) => {
          const made = new WebAssembly.Instance(wasm, imports);
          done(made);
          return made.exports;
        },
      }),
    );
    return { codec: codec as unknown as Codec, messages };
  } catch (error) {
    drop();
    throw error;
  }
}

class Pixels implements RgbaImage {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;

  constructor(data: Uint8ClampedArray, width: number, height: number) {
    this.data = data;
    this.width = width;
    this.height = height;
  }
}

/**
 * Runs `work` with the globals the glue looks up by name, which workerd lacks, and removes them again. Nothing else
 * can see them: `work` is synchronous.
 */
function withImageData<T>(work: () => T): T {
  const scope = globalThis as { ImageData?: unknown; location?: unknown };
  const before = { ImageData: scope.ImageData, location: scope.location };
  scope.ImageData = Pixels;
  scope.location ??= { href: "" };
  try {
    return work();
  } finally {
    for (const name of ["ImageData", "location"] as const) {
      if (before[name] === undefined) delete scope[name];
      else scope[name] = before[name];
    }
  }
}
