/**
 * The codec of cut tensors: quantise, then deflate if that is smaller. Packed where a stage ran, unpacked where the
 * next one runs, untouched in between.
 *
 * A code stands for (code − zero) · scale, with one scale per sample. Zero is a whole number, so that the zeros a ReLU
 * leaves stay exact. `u8` spans all values; `u4` spans the middle 99.9 % and clips the rest, because one outlier would
 * cost it most of its sixteen levels. Bytes are little-endian, as on every machine this runs on.
 */
import { DystriError, quote } from "../protocol/errors.ts";
import { MAX_FRAME_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { PackedTensor } from "../protocol/tensor.ts";
import { elements } from "./application.ts";

type Code = PackedTensor["code"];

/** Highest code of a quantised tensor. */
const TOP = { u8: 255, u4: 15 } as const;
const MIDDLE = 0.999;
/** Deflate expands up to 1,032-fold; feeding it slices of this size bounds what a bomb can make before it is noticed. */
const INFLATE_SLICE_BYTES = 1024;

/** Bytes of `count` values before deflate. */
export function rawBytes(count: number, code: Code): number {
  return code === "f32" ? 4 * count : code === "u8" ? count : Math.ceil(count / 2);
}

/** Packs one sample. Throws DystriError internal on a value that is not finite: the model produced it, not the caller. */
export async function pack(values: Float32Array, shape: number[], code: Code): Promise<PackedTensor> {
  if (elements(shape) !== values.length) {
    throw new RangeError(`${values.length} values do not fill the shape [${shape.join(", ")}]`);
  }
  if (!values.every(Number.isFinite)) throw new DystriError("internal", "a stage produced a value that is not finite");
  const { scale, zero, raw } = code === "f32" ? asFloats(values) : quantised(values, code);
  const small = await through(raw, new CompressionStream("deflate-raw"));
  const deflated = small.byteLength < raw.byteLength;
  return { shape: [...shape], code, scale, zero, deflated, bytes: deflated ? small : raw.slice().buffer };
}

/** The values of a packed tensor. Throws DystriError bad_tensor on anything that `pack` could not have made. */
export async function unpack(cut: PackedTensor): Promise<Float32Array> {
  const { code, scale, zero } = cut;
  if (code !== "f32" && code !== "u8" && code !== "u4") throw bad("code", code, `"f32", "u8" or "u4"`);
  if (!Number.isFinite(scale) || scale < 0) throw bad("scale", scale, "a finite number, 0 or more");
  if (!Number.isFinite(zero)) throw bad("zero", zero, "a finite number");
  const count = countOf(cut.shape, code);
  const raw = await rawOf(cut, rawBytes(count, code));
  const values = code === "f32" ? new Float32Array(raw.buffer) : new Float32Array(count);
  if (code === "u8") {
    for (let i = 0; i < count; i++) values[i] = ((raw[i] as number) - zero) * scale;
  } else if (code === "u4") {
    for (let i = 0; i < count; i++) {
      const pair = raw[i >> 1] as number;
      values[i] = ((i % 2 === 0 ? pair >> 4 : pair & 15) - zero) * scale;
    }
  }
  if (!values.every(Number.isFinite)) throw bad("bytes", "values that are not finite", "finite values");
  return values;
}

function bad(field: string, value: unknown, wanted: string): DystriError {
  const details = { field: `cut.${field}`, value: quote(value), hint: `expected ${wanted}` };
  return new DystriError("bad_tensor", `cut.${field} is ${quote(value)}; expected ${wanted}`, details);
}

function countOf(shape: unknown, code: Code): number {
  if (!Array.isArray(shape) || shape.length === 0) throw bad("shape", shape, "an array of sizes");
  let count = 1;
  for (const size of shape as unknown[]) {
    if (!Number.isSafeInteger(size) || (size as number) < 1) throw bad("shape", shape, "whole numbers above 0");
    count *= size as number;
  }
  if (rawBytes(count, code) > MAX_FRAME_PAYLOAD_BYTES) {
    throw bad("shape", shape, `at most ${MAX_FRAME_PAYLOAD_BYTES} bytes`);
  }
  return count;
}

/** The undeflated bytes in a buffer of their own, exactly `expected` long. */
async function rawOf({ bytes, deflated }: PackedTensor, expected: number): Promise<Uint8Array<ArrayBuffer>> {
  if (!(bytes instanceof ArrayBuffer)) throw bad("bytes", typeof bytes, "an ArrayBuffer");
  if (!deflated) {
    if (bytes.byteLength !== expected) throw bad("bytes", bytes.byteLength, `${expected} bytes, as the shape says`);
    return new Uint8Array(bytes.slice(0));
  }
  // Deflate is used only where it is smaller: a longer stream is not ours, and is not worth inflating.
  if (bytes.byteLength >= expected) throw bad("bytes", bytes.byteLength, `fewer than ${expected} deflated bytes`);
  return inflate(new Uint8Array(bytes), expected);
}

async function inflate(source: Uint8Array<ArrayBuffer>, expected: number): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new DecompressionStream("deflate-raw");
  const writer = stream.writable.getWriter();
  const reader: ReadableStreamDefaultReader<Uint8Array> = stream.readable.getReader();
  const target = new Uint8Array(expected);
  let filled = 0;
  let ended = false;
  const feed = async (): Promise<void> => {
    for (let at = 0; at < source.length && !ended; at += INFLATE_SLICE_BYTES) {
      await writer.write(source.subarray(at, at + INFLATE_SLICE_BYTES));
    }
    if (!ended) await writer.close();
  };
  const drain = async (): Promise<void> => {
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      if (filled + chunk.value.length > expected) throw bad("bytes", "more than the shape holds", `${expected} bytes`);
      target.set(chunk.value, filled);
      filled += chunk.value.length;
    }
  };
  const feeding = feed();
  try {
    await Promise.all([feeding, drain()]);
  } catch (error) {
    ended = true;
    // Whichever side failed, the other must not be left waiting, and its rejection is the same failure.
    await Promise.allSettled([reader.cancel(), writer.abort(), feeding]);
    throw error instanceof DystriError ? error : bad("bytes", "not a deflate stream", "what pack() made");
  }
  if (filled !== expected) throw bad("bytes", filled, `${expected} bytes after inflating`);
  return target;
}

/** Everything a transform makes of `bytes`; the input is trusted. */
async function through(bytes: Uint8Array<ArrayBuffer>, transform: CompressionStream): Promise<ArrayBuffer> {
  return new Response(new Blob([bytes]).stream().pipeThrough(transform)).arrayBuffer();
}

type Quantised = { scale: number; zero: number; raw: Uint8Array<ArrayBuffer> };

function asFloats(values: Float32Array): Quantised {
  return { scale: 1, zero: 0, raw: new Uint8Array(Float32Array.from(values).buffer) };
}

function quantised(values: Float32Array, code: "u8" | "u4"): Quantised {
  const [low, high] = code === "u8" ? range(values) : middle(values);
  const top = TOP[code];
  const scale = (high - low) / top;
  // All zeros: any scale would do; 0 says it plainly and keeps the division away.
  if (scale === 0) return { scale: 0, zero: 0, raw: new Uint8Array(rawBytes(values.length, code)) };
  const zero = Math.round(Math.abs(low) / scale);
  const raw = new Uint8Array(rawBytes(values.length, code));
  for (let i = 0; i < values.length; i++) {
    const level = Math.min(top, Math.max(0, Math.round((values[i] as number) / scale) + zero));
    if (code === "u8") raw[i] = level;
    else raw[i >> 1] = (raw[i >> 1] as number) | (i % 2 === 0 ? level << 4 : level);
  }
  return { scale, zero, raw };
}

/** Lowest and highest value, 0 included. */
function range(values: Float32Array): [low: number, high: number] {
  let low = 0;
  let high = 0;
  for (const value of values) {
    if (value < low) low = value;
    else if (value > high) high = value;
  }
  return [low, high];
}

/** The range that holds 99.9 % of the values on each side (nearest rank), 0 included. */
function middle(values: Float32Array): [low: number, high: number] {
  const sorted = values.slice().sort();
  const rank = Math.ceil(MIDDLE * sorted.length) - 1;
  return [Math.min(0, sorted[sorted.length - 1 - rank] ?? 0), Math.max(0, sorted[rank] ?? 0)];
}
