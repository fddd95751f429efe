import { describe, expect, it } from "vitest";
import { acceptedType } from "../../functions/api/decode.ts";
import { readInput } from "../../functions/api/input.ts";
import { decodeJpeg, jpegCodecBytes } from "../../functions/api/jpeg-codec.ts";
import { decodePng, pngCodecBytes } from "../../functions/api/png-codec.ts";
import type { Application } from "../../protocol/application.ts";
import { DystriError } from "../../protocol/errors.ts";
import { applications } from "./catalogue.ts";
import {
  BASELINE_JPEG,
  chunk,
  GREY_JPEG,
  greyPng,
  joined,
  jpegHeaderOnly,
  png,
  pngHeaderOnly,
  PROGRESSIVE_JPEG,
  zlib,
} from "../support/images.ts";

const [tiny] = applications as [Application];

async function valuesOf(body: Uint8Array, type = "image/png"): Promise<number[]> {
  return [...new Uint8Array((await readInput(tiny, type, body)).bytes)];
}

async function problemOf(body: Uint8Array, type: string | null = "image/png"): Promise<DystriError> {
  try {
    await readInput(tiny, type, body);
  } catch (error) {
    if (error instanceof DystriError) return error;
    throw error;
  }
  throw new Error("the image was accepted");
}

const END = new Uint8Array([0xff, 0xd9]);

/** Of sound structure, but with Huffman tables that the decoder gives up on. */
const BOGUS_JPEG = BASELINE_JPEG.map((byte, at, file) => {
  const table = file.findIndex((value, i) => value === 0xff && file[i + 1] === 0xc4);
  return at > table + 4 && at <= table + 20 ? 0xff : byte;
});

const ramp = Array.from({ length: 64 }, (_, i) => i * 4);

describe("decoding in workerd", () => {
  it("gives the pixels of a PNG of the model's size, exactly", async () => {
    const file = await greyPng(8, 8, (x, y) => (y * 8 + x) * 4);
    expect(await valuesOf(file)).toEqual(ramp);
    expect(await readInput(tiny, "image/png", file)).toMatchObject({ datatype: "UINT8", shape: [1, 8, 8] });
  });

  it.each([
    ["RGB", 2, (v: number) => [v, v, v]],
    ["grey with alpha", 4, (v: number) => [v, 255]],
    ["RGBA", 6, (v: number) => [v, v, v, 255]],
  ] as const)("reads %s", async (_, colour, samples) => {
    const file = await png({ width: 8, height: 8, colour, samples: ramp.flatMap((v) => samples(v)) });
    expect(await valuesOf(file)).toEqual(ramp);
  });

  it("reads 16 bits a sample, palettes, and transparency", async () => {
    const deep = await png({ width: 8, height: 8, colour: 0, depth: 16, samples: ramp.map((v) => v * 257) });
    expect(await valuesOf(deep)).toEqual(ramp);
    const palette = chunk("PLTE", new Uint8Array([10, 10, 10, 200, 200, 200]));
    const indexed = await png({ width: 8, height: 8, colour: 3, samples: ramp.map((_, i) => i % 2), extra: [palette] });
    expect(await valuesOf(indexed)).toEqual(ramp.map((_, i) => (i % 2 ? 200 : 10)));
    const clear = chunk("tRNS", new Uint8Array([255, 0]));
    const holes = await png({
      width: 8,
      height: 8,
      colour: 3,
      samples: ramp.map((_, i) => i % 2),
      extra: [palette, clear],
    });
    expect(await valuesOf(holes)).toEqual(ramp.map((_, i) => (i % 2 ? 0 : 10)));
  });

  it.each([
    ["baseline", BASELINE_JPEG],
    ["progressive", PROGRESSIVE_JPEG],
    ["grey", GREY_JPEG],
  ])("reads a %s JPEG", async (_, file) => {
    const values = await valuesOf(file, "image/jpeg");
    for (const [at, value] of values.entries()) {
      if (at % 8 === 3 || at % 8 === 4) continue; // Where the halves meet, both colours count.
      expect(Math.abs(value - (at % 8 < 4 ? 76 : 29)), `pixel ${at}: ${value}`).toBeLessThanOrEqual(6);
    }
  });

  it("leaves no globals behind", async () => {
    await valuesOf(BASELINE_JPEG, "image/jpeg");
    expect("ImageData" in globalThis).toBe(false);
    expect("location" in globalThis).toBe(false);
  });

  it("serves a good picture after a bad one, again and again, in the same isolate", async () => {
    const good = await greyPng(8, 8, (x, y) => (y * 8 + x) * 4);
    const reference = await valuesOf(BASELINE_JPEG, "image/jpeg");
    // Structure and size are right, the data is not: these reach the decoders.
    const badPng = joined([
      pngHeaderOnly(8, 8),
      chunk("IDAT", new Uint8Array(50).fill(7)),
      chunk("IEND", new Uint8Array()),
    ]);
    for (let round = 0; round < 20; round++) {
      expect((await problemOf(badPng)).message).toContain("damaged");
      expect(pngCodecBytes()).toBe(0);
      expect(await valuesOf(good)).toEqual(ramp);
      expect(pngCodecBytes()).toBeGreaterThan(0);
      expect((await problemOf(BOGUS_JPEG, "image/jpeg")).message).toContain("damaged");
      expect(jpegCodecBytes()).toBe(0);
      expect(await valuesOf(BASELINE_JPEG, "image/jpeg")).toEqual(reference);
      expect(jpegCodecBytes()).toBeGreaterThan(0);
    }
  });

  it("refuses a JPEG of which the decoder would invent a part", async () => {
    const problem = await problemOf(joined([BASELINE_JPEG.subarray(0, -8), END]), "image/jpeg");
    expect(problem.code).toBe("bad_image");
    expect(String(problem.cause)).toContain("premature end of data segment");
    // Stray bytes between segments take nothing from the picture: cameras write such files.
    const stray = joined([BASELINE_JPEG.subarray(0, -2), new Uint8Array(9).fill(1), END]);
    expect(await valuesOf(stray, "image/jpeg")).toEqual(await valuesOf(BASELINE_JPEG, "image/jpeg"));
  });

  it("keeps concurrent pictures apart", async () => {
    const [first, second] = await Promise.all([greyPng(8, 8, () => 10), greyPng(8, 8, () => 90)]);
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        i % 3 === 0
          ? valuesOf(BOGUS_JPEG, "image/jpeg").catch(() => "bad" as const)
          : i % 3 === 1
            ? valuesOf(BASELINE_JPEG, "image/jpeg")
            : valuesOf(i % 2 ? first : second),
      ),
    );
    for (const [i, result] of results.entries()) {
      if (i % 3 === 0) expect(result).toBe("bad");
      else if (i % 3 === 1) expect(result).toEqual(results[1]);
      else expect(new Set(result as number[])).toEqual(new Set([i % 2 ? 10 : 90]));
    }
  });

  it("decodes the largest picture it takes, and gives the memory back", async () => {
    const side = 2048;
    const raw = new Uint8Array(side * (side * 4 + 1));
    const file = joined([pngHeaderOnly(side, side), chunk("IDAT", await zlib(raw)), chunk("IEND", new Uint8Array())]);
    for (let i = 0; i < 4; i++) expect(await valuesOf(file)).toEqual(ramp.map(() => 0));
    expect(pngCodecBytes()).toBe(0);
  });

  it("does not unpack what is no part of the picture", async () => {
    // A colour profile that unpacks to 200 MB; the isolate has 128.
    const bomb = joined([new Uint8Array([0x61, 0, 0]), await zlib(new Uint8Array(20 * 1024 * 1024))]);
    const file = await png({
      width: 8,
      height: 8,
      colour: 0,
      samples: ramp,
      extra: Array.from({ length: 10 }, () => chunk("iCCP", bomb)),
    });
    expect(await valuesOf(file)).toEqual(ramp);
  });

  it("refuses every truncation of a PNG and a JPEG as the client's mistake", async () => {
    const file = await greyPng(8, 8, (x) => x);
    for (const [whole, type] of [
      [file, "image/png"],
      [BASELINE_JPEG, "image/jpeg"],
    ] as const) {
      for (let length = 1; length < whole.length; length++) {
        const { code } = await problemOf(whole.subarray(0, length), type);
        expect(["bad_image", "unsupported_media"], `${length} bytes`).toContain(code);
      }
    }
  });

  it("survives every single changed byte", async () => {
    const file = await greyPng(8, 8, (x) => x);
    for (const whole of [file, GREY_JPEG]) {
      for (let at = 0; at < whole.length; at++) {
        const bytes = whole.slice();
        bytes[at] = (bytes[at] as number) ^ 0x55;
        try {
          expect((await readInput(tiny, null, bytes)).bytes.byteLength).toBe(64);
        } catch (error) {
          if (!(error instanceof DystriError)) throw error;
          expect(["bad_image", "unsupported_media", "too_large"]).toContain(error.code);
        }
      }
    }
  });

  it("refuses 5000 × 5000 pixels before decoding", async () => {
    expect((await problemOf(pngHeaderOnly(5000, 5000))).code).toBe("too_large");
    expect((await problemOf(jpegHeaderOnly(5000, 5000), "image/jpeg")).code).toBe("too_large");
  });

  it("refuses an empty body and other kinds", async () => {
    expect((await problemOf(new Uint8Array())).code).toBe("empty_body");
    expect(await problemOf(new TextEncoder().encode("GIF89a and so on"), null)).toMatchObject({
      code: "unsupported_media",
    });
    expect(await problemOf(new TextEncoder().encode("{}"), "application/json")).toMatchObject({
      code: "unsupported_media",
      details: { field: "header Content-Type", value: "application/json" },
    });
  });

  it("goes by the bytes where the type says nothing or something else", async () => {
    const file = await greyPng(8, 8, () => 5);
    for (const type of [
      null,
      "",
      "application/octet-stream",
      "application/x-www-form-urlencoded",
      "image/png; q=1",
      "image/jpeg",
    ]) {
      expect(new Set(new Uint8Array((await readInput(tiny, type, file)).bytes))).toEqual(new Set([5]));
    }
    expect(acceptedType(tiny, null, BASELINE_JPEG)).toBe("image/jpeg");
  });
});

describe("the decoders' own glue", () => {
  it("binds what the pinned modules import", async () => {
    // A new version of a codec that needs other imports fails here, and not in production.
    expect(decodePng(await greyPng(2, 1, (x) => x * 9))).toMatchObject({
      width: 2,
      height: 1,
      data: new Uint8Array([0, 0, 0, 255, 9, 9, 9, 255]),
    });
    expect(await decodeJpeg(GREY_JPEG)).toMatchObject({ width: 16, height: 12 });
  });
});
