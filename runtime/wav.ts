/** From the bytes of a WAV file to sound: one channel, full scale 1. What a header claims is checked before anything grows with it. */
import { DystriError } from "../protocol/errors.ts";
import { MAX_AUDIO_SECONDS } from "../protocol/limits.ts";

export type Sound = { rateHz: number; samples: Float32Array<ArrayBuffer> };

export const MIN_RATE_HZ = 4_000;
export const MAX_RATE_HZ = 48_000;
/** Chunks before the sound: format, facts, texts. Files have a handful. */
const MAX_CHUNKS = 100;

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
/** The last 14 bytes of a sub-format that is one of the plain formats. */
const PLAIN_SUBFORMAT = [0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71];

type Format = { code: number; channels: number; rateHz: number; bits: number };

/** How to read one sample, −1 to 1. */
type SampleReader = (view: DataView, at: number) => number;

const READERS: Readonly<Record<string, SampleReader>> = {
  [`${PCM}/8`]: (view, at) => (view.getUint8(at) - 128) / 128,
  [`${PCM}/16`]: (view, at) => view.getInt16(at, true) / 32_768,
  [`${PCM}/24`]: (view, at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8_388_608,
  [`${PCM}/32`]: (view, at) => view.getInt32(at, true) / 2_147_483_648,
  [`${FLOAT}/32`]: (view, at) => view.getFloat32(at, true),
  [`${FLOAT}/64`]: (view, at) => view.getFloat64(at, true),
};

/**
 * Reads PCM of 8, 16, 24 or 32 bits or IEEE float, plain or WAVE_FORMAT_EXTENSIBLE, of one or two channels (averaged),
 * 4 to 48 kHz; floats beyond full scale are cut. Throws DystriError: `empty_body`, `bad_audio` when the file is truncated, malformed
 * or without sound, `too_large` when it is longer than MAX_AUDIO_SECONDS, `unsupported_media` when it is no WAV or its
 * encoding is not decoded here.
 */
export function readWav(bytes: Uint8Array): Sound {
  if (bytes.length === 0) {
    throw new DystriError("empty_body", "the request has no body", {
      field: "body",
      value: "0 bytes",
      hint: "send the bytes of a WAV file",
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tag = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (tag(0) !== "RIFF" || tag(8) !== "WAVE") {
    throw new DystriError("unsupported_media", "the body is not a WAV file", {
      field: "body",
      value: `${bytes.length} bytes`,
      hint: "send a WAV file: PCM or IEEE float",
    });
  }
  let format: Format | undefined;
  for (let at = 12, chunks = 0; ; chunks++) {
    if (chunks === MAX_CHUNKS) throw malformed("the WAV has too many chunks", `more than ${MAX_CHUNKS}`);
    if (at + 8 > bytes.length) throw truncated(bytes);
    const kind = tag(at);
    const length = view.getUint32(at + 4, true);
    const from = at + 8;
    if (length > bytes.length - from) throw truncated(bytes);
    if (kind === "fmt ") {
      if (format) throw malformed("the WAV has two format chunks", `byte ${at}`);
      format = readFormat(new DataView(bytes.buffer, bytes.byteOffset + from, length));
    } else if (kind === "data") {
      if (!format) throw malformed("the WAV's data comes before its format", `byte ${at}`);
      return readSamples(new DataView(bytes.buffer, bytes.byteOffset + from, length), format);
    }
    at = from + length + (length % 2); // Chunks begin at even bytes.
  }
}

function readFormat(view: DataView): Format {
  if (view.byteLength < 16) throw malformed("the WAV's format chunk is too short", `${view.byteLength} bytes`);
  let code = view.getUint16(0, true);
  const channels = view.getUint16(2, true);
  const rateHz = view.getUint32(4, true);
  const bits = view.getUint16(14, true);
  if (code === EXTENSIBLE) {
    if (view.byteLength < 40) throw malformed("the WAV's format chunk is too short", `${view.byteLength} bytes`);
    const plain = PLAIN_SUBFORMAT.every((byte, i) => view.getUint8(26 + i) === byte);
    if (plain) code = view.getUint16(24, true);
  }
  if (!Object.hasOwn(READERS, `${code}/${bits}`)) {
    throw unsupported(`WAV encoding ${code} of ${bits} bits`, "send PCM of 8, 16, 24 or 32 bits, or IEEE float");
  }
  if (channels !== 1 && channels !== 2) throw unsupported(`a WAV of ${channels} channels`, "send mono or stereo");
  if (rateHz < MIN_RATE_HZ || rateHz > MAX_RATE_HZ) {
    throw malformed(
      `the WAV's sampling rate is outside ${MIN_RATE_HZ} to ${MAX_RATE_HZ} Hz`,
      `${rateHz} Hz`,
      "resample it, to 16000 Hz for example",
    );
  }
  const block = view.getUint16(12, true);
  if (block !== (channels * bits) / 8)
    throw malformed("the WAV's block size does not fit its format", `${block} bytes`);
  return { code, channels, rateHz, bits };
}

function readSamples(view: DataView, { code, channels, rateHz, bits }: Format): Sound {
  const step = bits / 8;
  const block = channels * step;
  const count = view.byteLength / block;
  if (!Number.isInteger(count)) throw malformed("the WAV ends inside a sample", `${view.byteLength} bytes of data`);
  if (count === 0) throw malformed("the WAV has no sound", "0 samples", "send a recording");
  if (count > MAX_AUDIO_SECONDS * rateHz) {
    throw new DystriError("too_large", `the sound is longer than ${MAX_AUDIO_SECONDS} seconds`, {
      field: "body",
      value: `${(count / rateHz).toFixed(1)} seconds`,
      hint: "send the part that matters",
    });
  }
  const read = READERS[`${code}/${bits}`] as SampleReader;
  const samples = new Float32Array(count);
  for (let i = 0, at = 0; i < count; i++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++, at += step) {
      const value = read(view, at);
      if (!Number.isFinite(value)) throw malformed("a sample of the WAV is not a number", `sample ${i}`);
      sum += Math.min(1, Math.max(-1, value));
    }
    samples[i] = sum / channels;
  }
  return { rateHz, samples };
}

function truncated(bytes: Uint8Array): DystriError {
  return malformed("the WAV ends too early: it is truncated", `${bytes.length} bytes`, "send the whole file");
}

function malformed(detail: string, value: string, hint = "send a well-formed file"): DystriError {
  return new DystriError("bad_audio", detail, { field: "body", value, hint });
}

function unsupported(what: string, hint: string): DystriError {
  return new DystriError("unsupported_media", `${what} is not decoded here`, { field: "body", value: what, hint });
}
