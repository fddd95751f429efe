import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_FRAME_PAYLOAD_BYTES } from "../../protocol/limits.ts";
import type { PackedTensor } from "../../protocol/tensor.ts";
import { pack, unpack } from "../../runtime/tensor-packing.ts";

const floats = fc
  .array(fc.oneof(fc.constant(0), fc.float({ min: -1000, max: 1000, noNaN: true })), { minLength: 1, maxLength: 300 })
  .map((values) => Float32Array.from(values));

/** What a ReLU leaves: half of it zeros. */
const relu = floats.map((values) => values.map((value) => Math.max(0, value)));

async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
  return new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer();
}

const bad = { name: "DystriError", code: "bad_tensor" };

describe("round trips", () => {
  test("f32 gives back the very values", async () => {
    await fc.assert(
      fc.asyncProperty(floats, async (values) => {
        expect(await unpack(await pack(values, [values.length], "f32"))).toEqual(values);
      }),
    );
  });

  test("u8 is off by at most half a step, and zeros stay zeros", async () => {
    await fc.assert(
      fc.asyncProperty(floats, async (values) => {
        const packed = await pack(values, [values.length], "u8");
        const back = await unpack(packed);
        values.forEach((value, i) => {
          const error = Math.abs((back[i] as number) - value);
          expect(error).toBeLessThanOrEqual(packed.scale / 2 + 1e-4 * Math.abs(value) + 1e-30);
          if (value === 0) expect(back[i]).toBe(0);
        });
      }),
    );
  });

  test("u4 is off by at most half a step inside its range, and clips to its ends", async () => {
    await fc.assert(
      fc.asyncProperty(relu, async (values) => {
        const packed = await pack(values, [values.length], "u4");
        const back = await unpack(packed);
        const top = 15 * packed.scale;
        values.forEach((value, i) => {
          const error = Math.abs((back[i] as number) - Math.min(value, top));
          expect(error).toBeLessThanOrEqual(packed.scale / 2 + 1e-4 * value + 1e-30);
        });
      }),
    );
  });

  test("u4 lets one value in a thousand clip, so that it does not cost the others their levels", async () => {
    const values = Float32Array.from({ length: 2000 }, (_, i) => (i === 7 ? 1000 : (i % 100) / 100));
    const packed = await pack(values, [2000], "u4");
    expect(15 * packed.scale).toBeCloseTo(0.99);
    expect((await unpack(packed))[7]).toBeCloseTo(0.99);
  });

  test("u4 puts the first of a pair into the high half, also where the count is odd", async () => {
    const packed = await pack(Float32Array.of(15, 1, 7), [3], "u4");
    expect(packed).toMatchObject({ scale: 1, zero: 0, deflated: false });
    expect([...new Uint8Array(packed.bytes)]).toEqual([0xf1, 0x70]);
    expect([...(await unpack(packed))]).toEqual([15, 1, 7]);
  });

  test("deflate is used where it is smaller, and only there", async () => {
    const zeros = await pack(new Float32Array(4096), [4096], "u8");
    expect(zeros).toMatchObject({ deflated: true, scale: 0 });
    expect(zeros.bytes.byteLength).toBeLessThan(100);
    expect(await unpack(zeros)).toEqual(new Float32Array(4096));
    const noise = Float32Array.from({ length: 64 }, (_, i) => (i * 37) % 64);
    expect((await pack(noise, [64], "u8")).deflated).toBe(false);
  });
});

test("a value that is not finite is our fault, a shape that does not fit is a programming error", async () => {
  await expect(pack(Float32Array.of(Number.NaN), [1], "u8")).rejects.toMatchObject({ code: "internal" });
  await expect(pack(Float32Array.of(1, 2), [3], "u8")).rejects.toThrow(RangeError);
});

describe("hostile tensors are bad_tensor, and name the field", () => {
  const sound: PackedTensor = { shape: [4], code: "u8", scale: 1, zero: 0, deflated: false, bytes: new ArrayBuffer(4) };
  test.each<[string, Partial<Record<keyof PackedTensor, unknown>>]>([
    ["cut.code", { code: "u2" }],
    ["cut.scale", { scale: Number.POSITIVE_INFINITY }],
    ["cut.scale", { scale: -1 }],
    ["cut.scale", { scale: "1" }],
    ["cut.zero", { zero: Number.NaN }],
    ["cut.shape", { shape: [] }],
    ["cut.shape", { shape: [2, -2] }],
    ["cut.shape", { shape: [2.5, 2] }],
    ["cut.shape", { shape: "4" }],
    ["cut.shape", { shape: [1 << 30, 1 << 30, 1 << 30] }],
    ["cut.shape", { shape: [MAX_FRAME_PAYLOAD_BYTES + 1] }],
    ["cut.bytes", { bytes: new ArrayBuffer(5) }],
    ["cut.bytes", { bytes: new ArrayBuffer(3) }],
    ["cut.bytes", { bytes: "abcd" }],
    ["cut.bytes", { code: "f32", shape: [1], bytes: Float32Array.of(Number.NaN).buffer }],
    ["cut.bytes", { deflated: true, shape: [100], bytes: Uint8Array.of(7, 7, 7).buffer }],
    ["cut.bytes", { deflated: true, bytes: new ArrayBuffer(64) }],
    ["cut.bytes", { scale: Number.MAX_VALUE, bytes: Uint8Array.of(255, 0, 0, 0).buffer }],
  ])("%s of %j", async (field, wrong) => {
    await expect(unpack({ ...sound, ...wrong } as PackedTensor)).rejects.toMatchObject({ ...bad, details: { field } });
  });

  test("streams that hold more or less than the shape says", async () => {
    const bytes = await deflate(new Uint8Array(5000));
    const of = (shape: number[], part = bytes): PackedTensor => ({ ...sound, shape, deflated: true, bytes: part });
    expect((await unpack(of([5000]))).length).toBe(5000);
    await expect(unpack(of([4999]))).rejects.toMatchObject(bad);
    await expect(unpack(of([5001]))).rejects.toMatchObject(bad);
    await expect(unpack(of([5000], bytes.slice(0, -4)))).rejects.toMatchObject(bad);
  });

  test("a decompression bomb is stopped at the size of the shape", async () => {
    const bomb = await deflate(new Uint8Array(256 * 2 ** 20));
    const before = process.memoryUsage().arrayBuffers;
    let peak = before;
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().arrayBuffers)), 1);
    const hostile = { ...sound, shape: [2 ** 20], deflated: true, bytes: bomb };
    await expect(unpack(hostile)).rejects.toMatchObject(bad);
    clearInterval(watch);
    expect(peak - before).toBeLessThan(16 * 2 ** 20);
  });

  test("random bytes never do anything else than answer or be refused", async () => {
    const anything = fc.record({
      shape: fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 3 }),
      code: fc.constantFrom("f32" as const, "u8" as const, "u4" as const),
      scale: fc.double(),
      zero: fc.double(),
      deflated: fc.boolean(),
      bytes: fc.uint8Array({ maxLength: 200 }).map((bytes) => Uint8Array.from(bytes).buffer),
    });
    await fc.assert(
      fc.asyncProperty(anything, async (cut) => {
        const outcome = await unpack(cut).catch((error: unknown) => error);
        if (outcome instanceof Float32Array) expect(outcome.every(Number.isFinite)).toBe(true);
        else expect(outcome).toMatchObject(bad);
      }),
    );
  });
});
