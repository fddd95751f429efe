import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { DystriError, type ErrorCode } from "../../protocol/errors.ts";
import { readImageHeader, sniffImage } from "../../runtime/image-header.ts";
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
} from "../support/images.ts";

let grey: Uint8Array;
beforeAll(async () => {
  grey = await greyPng(5, 3, (x, y) => x * 10 + y);
});

function problemOf(bytes: Uint8Array): DystriError {
  try {
    readImageHeader(bytes);
  } catch (error) {
    if (error instanceof DystriError) return error;
    throw error;
  }
  throw new Error("the header was accepted");
}

const text = (value: string): Uint8Array => Uint8Array.from(value, (c) => c.charCodeAt(0));

describe("image header", () => {
  it("tells kind and size of whole files", () => {
    expect(readImageHeader(grey)).toMatchObject({ kind: "image/png", width: 5, height: 3 });
    for (const file of [BASELINE_JPEG, PROGRESSIVE_JPEG, GREY_JPEG]) {
      expect(readImageHeader(file)).toEqual({ kind: "image/jpeg", width: 16, height: 12 });
    }
  });

  it("recognises the kind by the first bytes", () => {
    expect(sniffImage(grey)).toBe("image/png");
    expect(sniffImage(BASELINE_JPEG)).toBe("image/jpeg");
    for (const other of ["", "GIF89a", "RIFF    WEBP", "<svg>", "\x89PNG\r\n\x1a"])
      expect(sniffImage(text(other))).toBe(null);
  });

  it("refuses every truncation, with a client's error", () => {
    for (const file of [grey, BASELINE_JPEG, PROGRESSIVE_JPEG, GREY_JPEG]) {
      for (let length = 0; length < file.length; length++) {
        const { code } = problemOf(file.subarray(0, length));
        expect(["bad_image", "unsupported_media"], `${length} of ${file.length} bytes`).toContain(code);
        if (length >= 8) expect(code).toBe("bad_image");
      }
    }
  });

  it("reads what follows the end of the file as not there", () => {
    expect(readImageHeader(joined([grey, text("and more")])).parts?.at(-1)?.[1]).toBe(grey.length);
    expect(readImageHeader(joined([BASELINE_JPEG, text("and more")]))).toMatchObject({ width: 16 });
  });

  it.each([
    [5000, 5000],
    [2049, 2048],
    [0xffff, 0xffff],
  ])("refuses %d × %d pixels from the header alone, both kinds", (width, height) => {
    for (const header of [pngHeaderOnly(width, height), jpegHeaderOnly(width, height)]) {
      const problem = problemOf(header);
      expect(problem.code).toBe("too_large");
      expect(problem.details).toMatchObject({ field: "body", value: `${width}x${height}` });
    }
  });

  it("does not overflow on the largest size a PNG can claim", () => {
    expect(problemOf(pngHeaderOnly(0xffffffff, 0xffffffff)).code).toBe("too_large");
    expect(problemOf(pngHeaderOnly(0x10000, 0x10000)).code).toBe("too_large");
  });

  it("takes exactly as many pixels as allowed", () => {
    expect(problemOf(pngHeaderOnly(2048, 2048)).message).toContain("truncated");
  });

  it.each([
    [0, 5],
    [5, 0],
  ])("refuses %d × %d", (width, height) => {
    for (const header of [pngHeaderOnly(width, height), jpegHeaderOnly(width, height)]) {
      expect(problemOf(header)).toMatchObject({ code: "bad_image", details: { value: `${width}x${height}` } });
    }
  });

  it("leaves out the parts that are no picture, whose unpacked size nobody knows", async () => {
    const profile = chunk("iCCP", new Uint8Array(1000));
    const transparency = chunk("tRNS", new Uint8Array([0, 7]));
    const file = await png({
      width: 1,
      height: 1,
      colour: 0,
      samples: [7],
      extra: [profile, transparency],
      after: [chunk("tEXt", text("a"))],
    });
    const kept = joined((readImageHeader(file).parts ?? []).map(([from, to]) => file.subarray(from, to)));
    const names = String.fromCharCode(...kept);
    expect(names).not.toContain("iCCP");
    expect(names).not.toContain("tEXt");
    expect(names).toContain("tRNS");
    expect(kept.length).toBe(file.length - profile.length - 13);
    expect(readImageHeader(grey).parts).toEqual([[0, grey.length]]);
  });

  const HOSTILE: [string, () => Uint8Array | Promise<Uint8Array>, ErrorCode][] = [
    [
      "an animated PNG",
      () => png({ width: 1, height: 1, colour: 0, samples: [0], extra: [chunk("acTL", new Uint8Array(8))] }),
      "unsupported_media",
    ],
    ["a PNG without picture data", () => joined([pngHeaderOnly(1, 1), chunk("IEND", new Uint8Array())]), "bad_image"],
    [
      "a PNG that begins with another chunk",
      () => joined([grey.subarray(0, 8), chunk("tEXt", text("a")), grey.subarray(8)]),
      "bad_image",
    ],
    [
      "a PNG chunk of 4 GB",
      () => joined([pngHeaderOnly(1, 1), new Uint8Array([0xff, 0xff, 0xff, 0xff]), text("IDAT")]),
      "bad_image",
    ],
    [
      "a PNG whose end claims more than there is",
      () => Uint8Array.from(grey, (byte, at) => (at === grey.length - 9 ? 1 : byte)),
      "bad_image",
    ],
    ["a GIF", () => text("GIF89a".padEnd(40)), "unsupported_media"],
    [
      "a CMYK JPEG",
      () => BASELINE_JPEG.map((byte, at) => (at === frameAt(BASELINE_JPEG) + 9 ? 4 : byte)),
      "unsupported_media",
    ],
    [
      "a lossless JPEG",
      () => BASELINE_JPEG.map((byte, at) => (at === frameAt(BASELINE_JPEG) + 1 ? 0xc3 : byte)),
      "unsupported_media",
    ],
    [
      "a 12-bit JPEG",
      () => BASELINE_JPEG.map((byte, at) => (at === frameAt(BASELINE_JPEG) + 4 ? 12 : byte)),
      "unsupported_media",
    ],
    ["a JPEG that ends at once", () => new Uint8Array([0xff, 0xd8, 0xff, 0xd9]), "bad_image"],
    ["a JPEG segment of no length", () => new Uint8Array([0xff, 0xd8, 0xff, 0xe0, 0, 0, 0xff, 0xd9]), "bad_image"],
    ["a JPEG of fill bytes", () => new Uint8Array(4096).fill(0xff).fill(0xd8, 1, 2), "bad_image"],
    ["a JPEG of a thousand scans", () => manyScans(1000), "bad_image"],
  ];
  it.each(HOSTILE)("refuses %s", async (_, make, code) => {
    expect(problemOf(await make()).code).toBe(code);
  });

  it("never fails but as a DystriError, whatever a byte is changed to", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(grey, BASELINE_JPEG, PROGRESSIVE_JPEG),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 }),
        (file, changes) => {
          const bytes = file.slice();
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          try {
            const { width, height } = readImageHeader(bytes);
            expect(width * height).toBeGreaterThan(0);
          } catch (error) {
            if (!(error instanceof DystriError)) throw error;
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** Where the frame header's marker starts. */
function frameAt(file: Uint8Array): number {
  return file.findIndex((byte, at) => byte === 0xff && file[at + 1] === 0xc0);
}

/** The progressive file with its last scan repeated. */
function manyScans(times: number): Uint8Array {
  const last = PROGRESSIVE_JPEG.findLastIndex((byte, at) => byte === 0xff && PROGRESSIVE_JPEG[at + 1] === 0xda);
  const scan = PROGRESSIVE_JPEG.subarray(last, -2);
  return joined([
    PROGRESSIVE_JPEG.subarray(0, last),
    ...Array.from({ length: times }, () => scan),
    PROGRESSIVE_JPEG.subarray(-2),
  ]);
}
