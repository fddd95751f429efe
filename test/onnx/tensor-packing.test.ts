/** The codec on workerd's own compression streams; its properties are tested in test/core. */
import { expect, test } from "vitest";
import type { PackedTensor } from "../../protocol/tensor.ts";
import { pack, unpack } from "../../runtime/tensor-packing.ts";

const relu = Float32Array.from({ length: 4096 }, (_, i) => (i % 3 === 0 ? (i % 64) / 8 : 0));

test.each(["f32", "u8", "u4"] as const)("%s comes back", async (code) => {
  const packed = await pack(relu, [64, 8, 8], code);
  expect(packed.deflated).toBe(true);
  const back = await unpack(packed);
  const worst = back.reduce((max, value, i) => Math.max(max, Math.abs(value - (relu[i] as number))), 0);
  expect(worst).toBeLessThanOrEqual(code === "f32" ? 0 : packed.scale / 2 + 1e-6);
});

test("what does not inflate to the size of the shape is bad_tensor", async () => {
  const sound = await pack(relu, [64, 8, 8], "u8");
  const spoilt: Partial<PackedTensor>[] = [
    { shape: [64, 8, 9] },
    { shape: [64, 8, 7] },
    { bytes: sound.bytes.slice(0, -8) },
    { bytes: new Uint8Array(100).fill(7).buffer },
    { bytes: await bomb(), shape: [1024, 64] },
  ];
  for (const wrong of spoilt)
    await expect(unpack({ ...sound, ...wrong })).rejects.toMatchObject({ code: "bad_tensor" });
});

/** 16 MiB of zeros, deflated. */
async function bomb(): Promise<ArrayBuffer> {
  const zeros = new Blob([new Uint8Array(16 * 2 ** 20)]).stream();
  return new Response(zeros.pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer();
}
