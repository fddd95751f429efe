import { readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Application, LogMelPreprocessing } from "../../protocol/application.ts";
import { asDystriError, type DystriError } from "../../protocol/errors.ts";
import { parseApplication } from "../../nodes/parse-application.ts";
import { powerSpectrum } from "../../runtime/fourier.ts";
import { inputTensor } from "../../runtime/input-tensor.ts";
import { fitted, logMel, logMelTensor } from "../../runtime/log-mel.ts";
import { normalise } from "../../runtime/normalise.ts";
import { resample } from "../../runtime/resample.ts";
import { readWav } from "../../runtime/wav.ts";
import { tinyJson } from "./tiny.ts";

/** What models/training/keywords/fixture.py wrote. */
const folder = path.join(import.meta.dirname, "../fixtures/log-mel");
const word = new Uint8Array(readFileSync(path.join(folder, "word.wav")));
const trained = JSON.parse(readFileSync(path.join(folder, "word.json"), "utf8")) as {
  preprocessing: LogMelPreprocessing;
  codes: number[];
  logs: number[];
  resampled: { from: number; to: number; first: number; samples: number[] };
};

const PCM = 1;
const FLOAT = 3;

type Wav = { code?: number; channels?: number; rateHz?: number; bits?: number; block?: number; extensible?: boolean };

/** A WAV file of those data bytes, right or wrong. */
function wav(data: Uint8Array, options: Wav = {}): Uint8Array {
  const { code = PCM, channels = 1, rateHz = 8000, bits = 16, extensible = false } = options;
  const block = options.block ?? (channels * bits) / 8;
  const format = new DataView(new ArrayBuffer(extensible ? 40 : 16));
  format.setUint16(0, extensible ? 0xfffe : code, true);
  format.setUint16(2, channels, true);
  format.setUint32(4, rateHz, true);
  format.setUint32(8, rateHz * block, true);
  format.setUint16(12, block, true);
  format.setUint16(14, bits, true);
  if (extensible) {
    format.setUint16(16, 22, true);
    format.setUint16(18, bits, true);
    format.setUint16(24, code, true);
    [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71].forEach((byte, i) => format.setUint8(26 + i, byte));
  }
  return riff(chunk("fmt ", new Uint8Array(format.buffer)), chunk("data", data));
}

const ascii = (text: string): number[] => Array.from(text, (c) => c.charCodeAt(0));
const uint32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);
const chunk = (kind: string, data: ArrayLike<number>, length = data.length): number[] => [
  ...ascii(kind),
  ...uint32(length),
  ...Array.from(data),
  ...(data.length % 2 ? [0] : []),
];
const riff = (...chunks: number[][]): Uint8Array => {
  const body = [...ascii("WAVE"), ...chunks.flat()];
  return Uint8Array.from([...ascii("RIFF"), ...uint32(body.length), ...body]);
};
const bytesOf = (values: ArrayBufferView): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

function errorOf(work: () => unknown): DystriError {
  try {
    work();
  } catch (error) {
    const known = asDystriError(error);
    if (known) return known;
    throw error;
  }
  throw new Error("nothing was thrown");
}

const tone = (hz: number, rateHz: number, count = rateHz): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: count }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rateHz));

describe("WAV", () => {
  const cases: [string, Uint8Array, number][] = [
    ["8", wav(Uint8Array.of(128, 192, 0, 255), { bits: 8 }), 1 / 128],
    ["16", wav(bytesOf(Int16Array.of(0, 16384, -32768, 32767))), 1 / 32768],
    ["24", wav(Uint8Array.of(0, 0, 0, 0, 0, 0x40, 0, 0, 0x80, 0xff, 0xff, 0x7f), { bits: 24 }), 2 ** -23],
    ["32", wav(bytesOf(Int32Array.of(0, 2 ** 30, -(2 ** 31), 2 ** 31 - 1)), { bits: 32 }), 2 ** -31],
    ["float 32", wav(bytesOf(Float32Array.of(0, 0.5, -7, 7)), { code: FLOAT, bits: 32 }), 0],
    ["float 64", wav(bytesOf(Float64Array.of(0, 0.5, -1, 1)), { code: FLOAT, bits: 64 }), 0],
  ];

  test.each(cases)("of %s bits is read; full scale is 1", (_bits, file, step) => {
    const { samples, rateHz } = readWav(file);
    expect(rateHz).toBe(8000);
    expect([...samples]).toEqual([0, 0.5, -1, Math.fround(1 - step)]);
  });

  test("stereo is averaged; the extensible form and other chunks are taken", () => {
    const data = bytesOf(Int16Array.of(16384, 0, -16384, 16384));
    const stereo = { channels: 2, rateHz: 48_000 };
    expect([...readWav(wav(data, stereo)).samples]).toEqual([0.25, 0]);
    expect(readWav(wav(data, { ...stereo, extensible: true }))).toEqual(readWav(wav(data, stereo)));
    const plain = wav(data);
    const format = [...plain.subarray(12, 36)];
    expect(readWav(riff(chunk("LIST", ascii("odd")), format, chunk("fact", uint32(4)), chunk("data", data)))).toEqual(
      readWav(plain),
    );
  });

  test("a view into a larger buffer is read like a file of its own", () => {
    const large = new Uint8Array(word.length + 7).fill(255);
    large.set(word, 3);
    expect(readWav(large.subarray(3, 3 + word.length))).toEqual(readWav(word));
  });

  test("cut anywhere, it is refused", () => {
    const file = wav(bytesOf(Int16Array.of(1, 2, 3, 4)), { extensible: true });
    expect(readWav(file).samples).toHaveLength(4);
    for (let length = 0; length < file.length; length++) {
      const wanted = length === 0 ? "empty_body" : length < 12 ? "unsupported_media" : "bad_audio";
      expect(errorOf(() => readWav(file.subarray(0, length))).code, `${length} bytes`).toBe(wanted);
    }
    for (let length = 44; length < word.length; length += 997) {
      expect(errorOf(() => readWav(word.subarray(0, length))).code).toBe("bad_audio");
    }
  });

  const two = bytesOf(Int16Array.of(1, 2));
  const formatOf = (options: Wav) => [...wav(two, options).subarray(12, 36)];
  test.each([
    ["bad_audio", "a size beyond the file", riff(formatOf({}), chunk("data", two, 0xffff_ffff))],
    ["bad_audio", "a size beyond the file, before the format", riff(chunk("LIST", [], 0x7fff_ffff))],
    ["bad_audio", "no chunks", riff()],
    ["bad_audio", "data before the format", riff(chunk("data", two), formatOf({}))],
    ["bad_audio", "two formats", riff(formatOf({}), formatOf({}), chunk("data", two))],
    ["bad_audio", "a short format", riff(chunk("fmt ", [1, 0]), chunk("data", two))],
    ["bad_audio", "a short extensible format", riff(chunk("fmt ", [0xfe, 0xff, ...Array<number>(16).fill(0)]))],
    ["bad_audio", "chunks without end", riff(...Array.from({ length: 200 }, () => chunk("LIST", [])))],
    ["bad_audio", "no sound", wav(new Uint8Array())],
    ["bad_audio", "half a sample", wav(Uint8Array.of(1, 2, 3))],
    ["bad_audio", "a rate of nothing", wav(two, { rateHz: 0 })],
    ["bad_audio", "a rate too high", wav(two, { rateHz: 0xffff_ffff })],
    ["bad_audio", "a wrong block size", wav(two, { block: 3 })],
    ["bad_audio", "a block size of nothing", wav(two, { block: 0 })],
    [
      "bad_audio",
      "a sample that is no number",
      wav(bytesOf(Float32Array.of(0, Number.NaN)), { code: FLOAT, bits: 32 }),
    ],
    ["bad_audio", "an infinite sample", wav(bytesOf(Float64Array.of(Infinity)), { code: FLOAT, bits: 64 })],
    ["unsupported_media", "no channels", wav(two, { channels: 0, block: 2 })],
    ["unsupported_media", "six channels", wav(new Uint8Array(24), { channels: 6 })],
    ["unsupported_media", "A-law", wav(two, { code: 6, bits: 8 })],
    ["unsupported_media", "12 bits", wav(two, { bits: 12, block: 2 })],
    ["unsupported_media", "another container", Uint8Array.from([...ascii("RIFF"), 0, 0, 0, 0, ...ascii("AVI ")])],
    ["too_large", "eleven seconds", wav(new Uint8Array(88_000), { bits: 8 })],
  ])("%s: %s", (code, _what, file) => {
    const error = errorOf(() => readWav(file));
    expect(error.code).toBe(code);
    expect(error.details).toMatchObject({ field: "body" });
  });

  test("no bytes make it fail otherwise, and what it accepts is sound", () => {
    const damage = fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(damage, fc.nat(40), (changes, cut) => {
        const file = wav(bytesOf(Int16Array.of(1, -2, 3, -4)), { extensible: true });
        for (const [at, value] of changes) file[at] = value;
        try {
          const { samples, rateHz } = readWav(file.subarray(0, file.length - (cut > 20 ? 0 : cut)));
          expect(rateHz).toBeGreaterThanOrEqual(4000);
          expect(samples.length).toBeGreaterThan(0);
          expect(samples.every((value) => Math.abs(value) <= 1)).toBe(true);
        } catch (error) {
          const code = asDystriError(error)?.code;
          if (!code) throw error;
          expect(["bad_audio", "unsupported_media", "too_large"]).toContain(code);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("resampling", () => {
  test("to the same rate changes nothing", () => {
    const samples = tone(440, 8000, 100);
    expect(resample(samples, 8000, 8000)).toBe(samples);
  });

  test("is what the training code does", () => {
    const { from, to, first, samples } = trained.resampled;
    const mine = resample(readWav(word).samples, from, to).subarray(first, first + samples.length);
    const most = samples.reduce((most, value, i) => Math.max(most, Math.abs(value - (mine[i] as number))), 0);
    expect(most).toBeLessThan(2e-6);
  });

  test.each([4000, 11_025, 16_000, 22_050, 44_100, 48_000, 7919])(
    "from %i Hz keeps a tone and its length",
    (rateHz) => {
      const result = resample(tone(500, rateHz), rateHz, 8000);
      expect(result).toHaveLength(8000);
      const wanted = tone(500, 8000);
      for (let i = 200; i < 7800; i++)
        expect(Math.abs((result[i] as number) - (wanted[i] as number))).toBeLessThan(1e-3);
    },
  );

  test("removes what the lower rate cannot hold", () => {
    const result = resample(tone(5000, 16_000), 16_000, 8000).subarray(200, 7800);
    expect(Math.max(...result.map(Math.abs))).toBeLessThan(1e-3);
  });
});

test("the power spectrum is that of the definition", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 6 }),
      fc.infiniteStream(fc.double({ min: -1, max: 1, noNaN: true })),
      (log, stream) => {
        const n = 2 ** log;
        const values = Float64Array.from({ length: n }, () => stream.next().value as number);
        const power = powerSpectrum(values);
        expect(power).toHaveLength(n / 2 + 1);
        power.forEach((value, k) => {
          let re = 0;
          let im = 0;
          values.forEach((x, i) => {
            re += x * Math.cos((2 * Math.PI * k * i) / n);
            im += x * Math.sin((2 * Math.PI * k * i) / n);
          });
          expect(value).toBeCloseTo(re ** 2 + im ** 2, 8);
        });
      },
    ),
    { numRuns: 50 },
  );
});

describe("log-mel", () => {
  const { preprocessing } = trained;
  const covered = 7936;

  test("is what the training code computes: logarithms within 0.001, bytes equal but at edges of rounding", () => {
    const samples = fitted(readWav(word).samples, preprocessing);
    const logs = logMel(samples, preprocessing);
    expect(logs).toHaveLength(trained.logs.length);
    const differences = trained.logs.map((value, i) => Math.abs(value - (logs[i] as number)));
    expect(Math.max(...differences)).toBeLessThan(1e-3);
    const bytes = new Uint8Array(logMelTensor(readWav(word), preprocessing).bytes);
    const off = trained.codes.map((value, i) => Math.abs(value - (bytes[i] as number)));
    expect(Math.max(...off)).toBeLessThanOrEqual(1);
    expect(off.filter(Boolean).length).toBeLessThanOrEqual(4);
  });

  test("is what a posted WAV becomes", () => {
    expect(inputTensor(preprocessing, word)).toEqual(logMelTensor(readWav(word), preprocessing));
  });

  test("a shorter sound has silence on both sides", () => {
    const padded = fitted(Float32Array.of(1, 2, 3), preprocessing);
    expect(padded).toHaveLength(covered);
    expect([...padded.subarray(3966, 3969)]).toEqual([1, 2, 3]);
    expect(padded.reduce((sum, value) => sum + value, 0)).toBe(6);
  });

  test("of a second, the beginning that the frames cover", () => {
    const samples = readWav(word).samples;
    expect(samples).toHaveLength(8000);
    expect(fitted(samples, preprocessing)).toEqual(samples.slice(0, covered));
  });

  test("of a longer sound, a word comes to stand in the middle", () => {
    fc.assert(
      fc.property(fc.integer({ min: 10_000, max: 60_000 }), fc.integer({ min: 400, max: 4000 }), (before, length) => {
        const samples = new Float32Array(before + length + 12_000);
        samples.set(tone(300, 8000, length), before);
        const stretch = fitted(samples, preprocessing);
        const first = stretch.findIndex((value) => value !== 0) - 1;
        expect(Math.abs(first - (covered - length) / 2)).toBeLessThanOrEqual(preprocessing.hopSamples);
      }),
      { numRuns: 50 },
    );
  });

  test("silence and the loudest sound stay in range", () => {
    const silence = logMelTensor({ rateHz: 8000, samples: new Float32Array(10) }, preprocessing);
    expect(silence).toMatchObject({ datatype: "UINT8", shape: [1, 49, 40] });
    expect(new Set(new Uint8Array(silence.bytes))).toEqual(new Set([2]));
    const square = Float32Array.from({ length: 8000 }, (_, i) => (i % 8 < 4 ? 1 : -1));
    expect(
      Math.max(...new Uint8Array(logMelTensor({ rateHz: 8000, samples: square }, preprocessing).bytes)),
    ).toBeLessThan(255);
  });
});

describe("an application that listens", () => {
  /** The fixture's ladder behind sound. */
  function listening(change: Partial<LogMelPreprocessing> = {}, take?: number): Application {
    const json = tinyJson() as Application;
    const preprocessing = { ...trained.preprocessing, ...change };
    json.task = "audio-classification";
    json.input = { ...json.input, shape: [1, 49, 40], bytes: 1960, accepts: ["audio/wav"], preprocessing };
    if (take !== undefined) (json.rungs[2] as Application["rungs"][number]).take = take;
    return parseApplication(json);
  }

  test("reads standardised logarithms", () => {
    const application = listening();
    const { scale, offset, mean, std } = trained.preprocessing;
    const bytes = Uint8Array.from({ length: 1960 }, (_, i) => i % 256);
    const x = normalise(application, { datatype: "UINT8", shape: [1, 49, 40], bytes: bytes.buffer });
    expect(x).toMatchObject({ type: "float32", dims: [1, 1, 49, 40] });
    bytes.forEach((byte, i) => expect(Number(x.data[i])).toBeCloseTo((byte * scale + offset - mean) / std, 5));
  });

  test.each([
    ["windowSamples", { windowSamples: 250 }],
    ["sampleRateHz", { sampleRateHz: 96_000 }],
    ["highHz", { highHz: 4001 }],
    ["lowHz", { lowHz: 3800 }],
    ["hopSamples", { hopSamples: 0 }],
    ["scale", { scale: 0 }],
    ["floor", { floor: 0 }],
    ["std", { std: -1 }],
    ["offset", { offset: "low" as never }],
  ])("with a wrong %s is refused", (field, change) => {
    expect(() => listening(change)).toThrow(`input.preprocessing.${field}`);
  });

  test("with another shape, or a stage that takes a part, is refused", () => {
    expect(() => listening({ mels: 20 })).toThrow("input.shape");
    expect(() => listening({}, 5)).toThrow("rungs[2].take");
  });
});
