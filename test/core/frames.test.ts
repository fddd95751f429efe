import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  closeReason,
  decodeFrame,
  encodeFrame,
  FRAME_KINDS,
  FRAME_PREFIX_BYTES,
  MAX_CLOSE_REASON_BYTES,
  MAX_FRAME_BYTES,
  type Frame,
  type FrameError,
} from "../../protocol/frames.ts";
import { MAX_FRAME_HEADER_BYTES, MAX_FRAME_PAYLOAD_BYTES } from "../../protocol/limits.ts";

const anyFrame: fc.Arbitrary<Frame> = fc.record({
  kind: fc.constantFrom(...FRAME_KINDS),
  sequence: fc.integer({ min: 0, max: 0xffffffff }),
  header: fc.dictionary(fc.string(), fc.oneof(fc.string({ unit: "grapheme" }), fc.integer(), fc.boolean())),
  payload: fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes)),
});

const sample = (): Uint8Array<ArrayBuffer> =>
  encodeFrame({
    kind: "job",
    sequence: 7,
    header: { application: "tiny", é: "ü" },
    payload: new Uint8Array([1, 2, 3]),
  });

function errorOf(bytes: Uint8Array | ArrayBuffer): FrameError {
  const decoded = decodeFrame(bytes);
  if (decoded.ok) throw new Error("the frame was accepted");
  return decoded.error;
}

/** The frame's header replaced by these bytes, the rest in order. */
function withHeader(header: Uint8Array, claimed = header.length): Uint8Array {
  const bytes = new Uint8Array(FRAME_PREFIX_BYTES + header.length);
  bytes.set([1, 6]);
  new DataView(bytes.buffer).setUint32(8, claimed, true);
  bytes.set(header, FRAME_PREFIX_BYTES);
  return bytes;
}

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

describe("round trip", () => {
  test("what is encoded is decoded", () => {
    fc.assert(
      fc.property(anyFrame, (frame) => {
        fc.pre(json(frame.header).length <= MAX_FRAME_HEADER_BYTES);
        const decoded = decodeFrame(encodeFrame(frame));
        // A header is JSON: compare what JSON can say.
        expect(decoded).toEqual({ ok: true, value: { ...frame, header: JSON.parse(JSON.stringify(frame.header)) } });
      }),
    );
  });

  test("a view into a larger buffer is read at its own place", () => {
    const bytes = sample();
    const padded = new Uint8Array(bytes.length + 10);
    padded.set(bytes, 5);
    expect(decodeFrame(padded.subarray(5, 5 + bytes.length))).toEqual(decodeFrame(bytes));
  });

  test("the payload shares no memory with the message", () => {
    const bytes = sample();
    const decoded = decodeFrame(bytes);
    bytes.fill(0);
    expect(decoded).toMatchObject({ ok: true, value: { payload: new Uint8Array([1, 2, 3]) } });
  });

  test("the layout is the documented one", () => {
    const bytes = encodeFrame({ kind: "cancel", sequence: 0x01020304, header: {}, payload: new Uint8Array(0) });
    expect([...bytes]).toEqual([1, 6, 0, 0, 4, 3, 2, 1, 2, 0, 0, 0, 0x7b, 0x7d]);
  });
});

describe("hostile bytes", () => {
  test("random bytes never throw", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => typeof decodeFrame(bytes).ok === "boolean"));
  });

  test("one changed byte of a good frame never throws", () => {
    const good = sample();
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
        const bytes = sample();
        bytes[at] = value;
        return typeof decodeFrame(bytes).ok === "boolean";
      }),
    );
  });

  test("every truncation before the payload is an error", () => {
    const bytes = encodeFrame({ kind: "cancel", sequence: 1, header: { a: [1, 2, 3] }, payload: new Uint8Array(0) });
    for (let length = 0; length < bytes.length; length++) {
      expect(errorOf(bytes.subarray(0, length))).toMatchObject({ code: "truncated", closeCode: 1002 });
    }
  });

  test.each([0, 2, 255])("version %i is refused", (version) => {
    const bytes = sample();
    bytes[0] = version;
    expect(errorOf(bytes)).toMatchObject({ code: "bad_version", closeCode: 1002 });
  });

  test.each([0, FRAME_KINDS.length + 1, 255])("kind %i is refused", (kind) => {
    const bytes = sample();
    bytes[1] = kind;
    expect(errorOf(bytes)).toMatchObject({ code: "bad_kind", closeCode: 1002 });
  });

  test.each([2, 3])("reserved byte %i must be zero", (at) => {
    const bytes = sample();
    bytes[at] = 1;
    expect(errorOf(bytes)).toMatchObject({ code: "bad_prefix" });
  });

  test.each([MAX_FRAME_HEADER_BYTES + 1, 0x7fffffff, 0xffffffff])(
    "a header length of %i is over the limit",
    (claimed) => {
      expect(errorOf(withHeader(json({}), claimed))).toMatchObject({ code: "too_large", closeCode: 1009 });
    },
  );

  test("a header at the limit passes, one byte more does not", () => {
    const filler = (bytes: number) => json({ a: "x".repeat(bytes - 8) });
    expect(decodeFrame(withHeader(filler(MAX_FRAME_HEADER_BYTES))).ok).toBe(true);
    expect(errorOf(withHeader(filler(MAX_FRAME_HEADER_BYTES + 1)))).toMatchObject({ code: "too_large" });
  });

  test("a payload at the limit passes, one byte more does not", () => {
    const payload = new Uint8Array(MAX_FRAME_PAYLOAD_BYTES);
    const bytes = encodeFrame({ kind: "job", sequence: 1, header: {}, payload });
    expect(decodeFrame(bytes).ok).toBe(true);
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(errorOf(longer)).toMatchObject({ code: "too_large", closeCode: 1009 });
    expect(errorOf(new ArrayBuffer(MAX_FRAME_BYTES + 1))).toMatchObject({ code: "too_large", closeCode: 1009 });
  });

  test("sizes are checked before anything else is read", () => {
    expect(errorOf(new Uint8Array(MAX_FRAME_BYTES + 1).fill(255))).toMatchObject({ code: "too_large" });
  });

  test("a header that is not UTF-8", () => {
    expect(errorOf(withHeader(new Uint8Array([0x22, 0xff, 0xfe, 0x22])))).toMatchObject({
      code: "bad_text",
      closeCode: 1007,
    });
  });

  test.each(["", "{", "nul", "[1", "[]", "null", "1", '"a"', "[".repeat(8000)])(
    "the header %.20s is no JSON object",
    (text) => {
      expect(errorOf(withHeader(new TextEncoder().encode(text)))).toMatchObject({ code: "bad_json", closeCode: 1007 });
    },
  );

  test("a byte order mark is not swallowed", () => {
    expect(errorOf(withHeader(new Uint8Array([0xef, 0xbb, 0xbf, ...json({})])))).toMatchObject({ code: "bad_json" });
  });
});

describe("sending", () => {
  test("an own frame over a limit is a RangeError", () => {
    const frame: Frame = { kind: "job", sequence: 1, header: {}, payload: new Uint8Array(0) };
    expect(() => encodeFrame({ ...frame, header: { a: "x".repeat(MAX_FRAME_HEADER_BYTES) } })).toThrow(RangeError);
    expect(() => encodeFrame({ ...frame, payload: new Uint8Array(MAX_FRAME_PAYLOAD_BYTES + 1) })).toThrow(RangeError);
    expect(() => encodeFrame({ ...frame, sequence: 2 ** 32 })).toThrow(RangeError);
  });

  test("close reasons fit a close frame, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 100, maxLength: 200 }), (text) => {
        expect(new TextEncoder().encode(closeReason(text)).length).toBeLessThanOrEqual(MAX_CLOSE_REASON_BYTES);
      }),
      { numRuns: 30 },
    );
  });
});
