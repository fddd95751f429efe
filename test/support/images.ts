/**
 * Pictures for tests: PNGs made on the spot, so that each says what is special about it, and three small JPEGs.
 * Platform-free: runs in Node and in workerd.
 */
import { crc32 } from "../../protocol/encoding.ts";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Channels per PNG colour type. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

export type PngOptions = {
  width: number;
  height: number;
  /** 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA. */
  colour: 0 | 2 | 3 | 4 | 6;
  depth?: 8 | 16;
  /** Samples in row order, width × height × channels of them. */
  samples: readonly number[];
  /** Put between the header and the picture data. */
  extra?: Uint8Array[];
  /** Put after the picture data. */
  after?: Uint8Array[];
};

/** A whole PNG file. */
export async function png({
  width,
  height,
  colour,
  depth = 8,
  samples,
  extra = [],
  after = [],
}: PngOptions): Promise<Uint8Array> {
  const perSample = depth / 8;
  const rowBytes = width * (CHANNELS[colour] as number) * perSample;
  const raw = new Uint8Array(height * (rowBytes + 1));
  for (let y = 0, i = 0; y < height; y++) {
    for (let at = y * (rowBytes + 1) + 1; at < (y + 1) * (rowBytes + 1); at += perSample, i++) {
      const sample = samples[i] as number;
      if (depth === 16) raw.set([sample >> 8, sample & 255], at);
      else raw[at] = sample;
    }
  }
  return joined([
    new Uint8Array(SIGNATURE),
    header(width, height, depth, colour),
    ...extra,
    chunk("IDAT", await zlib(raw)),
    ...after,
    chunk("IEND", new Uint8Array()),
  ]);
}

/** A grey PNG; each pixel is what `value` says of it. */
export function greyPng(width: number, height: number, value: (x: number, y: number) => number): Promise<Uint8Array> {
  const samples = Array.from({ length: width * height }, (_, i) => value(i % width, Math.floor(i / width)));
  return png({ width, height, colour: 0, samples });
}

/** The beginning of a PNG that claims to be of that size, as sent by those who want to see a decoder fall over. */
export function pngHeaderOnly(width: number, height: number): Uint8Array {
  return joined([new Uint8Array(SIGNATURE), header(width, height, 8, 6)]);
}

/** The beginning of a JPEG that claims to be of that size. */
export function jpegHeaderOnly(width: number, height: number): Uint8Array {
  const size = [height >> 8, height & 255, width >> 8, width & 255];
  return new Uint8Array([0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, ...size, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
}

export function chunk(type: string, data: Uint8Array): Uint8Array {
  const name = Uint8Array.from(type, (c) => c.charCodeAt(0));
  const crc = crc32(String.fromCharCode(...name, ...data));
  return joined([u32(data.length), name, data, u32(crc)]);
}

/** What `deflate` means in PNG: the zlib format. */
export async function zlib(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Response(bytes.slice().buffer).body?.pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream ?? null).arrayBuffer());
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function header(width: number, height: number, depth: number, colour: number): Uint8Array {
  return chunk("IHDR", joined([u32(width), u32(height), new Uint8Array([depth, colour, 0, 0, 0])]));
}

function u32(value: number): Uint8Array {
  return new Uint8Array([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
}

function base64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** 16 × 12 pixels, left half red, right half blue; written by mozjpeg at quality 90. */
export const BASELINE_JPEG = base64(
  "/9j/4AAQSkZJRgABAQAAAQABAAD/2wCEAAMDAwMDAwQEBAQFBQUFBQcHBgYHBwsICQgJCAsRCwwLCwwLEQ8SDw4PEg8bFRMTFRsfGhkaHyYiIi" +
    "YwLTA+PlQBAwMDAwMDBAQEBAUFBQUFBwcGBgcHCwgJCAkICxELDAsLDAsRDxIPDg8SDxsVExMVGx8aGRofJiIiJjAtMD4+VP/AABEIAAwAEAMB" +
    "EQACEQEDEQH/xABMAAEBAAAAAAAAAAAAAAAAAAAHCBABAAAAAAAAAAAAAAAAAAAAAAEBAQAAAAAAAAAAAAAAAAAACQcRAQAAAAAAAAAAAAAAAA" +
    "AAAAD/2gAMAwEAAhEDEQA/AJ0QwqYCOMHQ+g5MWAjjB0f/2Q==",
);
export const PROGRESSIVE_JPEG = base64(
  "/9j/4AAQSkZJRgABAQAAAQABAAD/2wCEAAMDAwMDAwQEBAQFBQUFBQcHBgYHBwsICQgJCAsRCwwLCwwLEQ8SDw4PEg8bFRMTFRsfGhkaHyYiIi" +
    "YwLTA+PlQBAwMDAwMDBAQEBAUFBQUFBwcGBgcHCwgJCAkICxELDAsLDAsRDxIPDg8SDxsVExMVGx8aGRofJiIiJjAtMD4+VP/CABEIAAwAEAMB" +
    "EQACEQEDEQH/xAAoAAEBAAAAAAAAAAAAAAAAAAAHCAEBAQAAAAAAAAAAAAAAAAAACQf/2gAMAwEAAhADEAAAAJ0hipgTjDo+hyxYE4w6f//EAB" +
    "QQAQAAAAAAAAAAAAAAAAAAACD/2gAIAQEAAT8AH//EABQRAQAAAAAAAAAAAAAAAAAAACD/2gAIAQIBAT8AH//EABQRAQAAAAAAAAAAAAAAAAAA" +
    "ACD/2gAIAQMBAT8AH//Z",
);
/** The same in grey: 76 and 29. */
export const GREY_JPEG = base64(
  "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMDAwMDAwQEBAQFBQUFBQcHBgYHBwsICQgJCAsRCwwLCwwLEQ8SDw4PEg8bFRMTFRsfGhkaHyYiIi" +
    "YwLTA+PlT/wgALCAAMABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAABwj/2gAIAQEAAAAAnQCfQL//xAAUEAEAAAAAAAAAAAAAAAAAAAAg/9oA" +
    "CAEBAAE/AB//2Q==",
);
