import { describe, expect, it } from "vitest";
import type { ImagePreprocessing } from "../../protocol/application.ts";
import { imageTensor, triangleTaps, type RgbaImage } from "../../runtime/image.ts";

function to(width: number, height: number, channels: 1 | 3 = 1): ImagePreprocessing {
  return { kind: "image", width, height, channels, mean: [], std: [] };
}

function grey(width: number, height: number, value: (x: number, y: number) => number): RgbaImage {
  const data = new Uint8Array(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) data.fill(value(i % width, Math.floor(i / width)), i * 4, i * 4 + 3);
  return { width, height, data };
}

function pixels(...rgba: number[][]): RgbaImage {
  return { width: rgba.length, height: 1, data: new Uint8Array(rgba.flat()) };
}

const valuesOf = (image: RgbaImage, into: ImagePreprocessing): number[] => [
  ...new Uint8Array(imageTensor(image, into).bytes),
];

describe("image tensor", () => {
  it("is the pixels themselves when the size fits", () => {
    const image = grey(16, 16, (x, y) => y * 16 + x);
    expect(valuesOf(image, to(16, 16))).toEqual(Array.from({ length: 256 }, (_, i) => i));
    expect(imageTensor(image, to(16, 16))).toMatchObject({ datatype: "UINT8", shape: [1, 16, 16] });
  });

  it("is grey by ITU-R BT.601", () => {
    const image = pixels([255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [255, 255, 255, 255]);
    expect(valuesOf(image, to(4, 1))).toEqual([76, 150, 29, 255]);
  });

  it("is planes of red, green and blue where the model has three channels", () => {
    const image = pixels([1, 2, 3, 255], [4, 5, 6, 255]);
    expect(imageTensor(image, to(2, 1, 3)).shape).toEqual([3, 1, 2]);
    expect(valuesOf(image, to(2, 1, 3))).toEqual([1, 4, 2, 5, 3, 6]);
  });

  it("lies on black where it is transparent", () => {
    const image = pixels([200, 200, 200, 0], [200, 200, 200, 128], [200, 200, 200, 255]);
    expect(valuesOf(image, to(3, 1))).toEqual([0, 100, 200]);
    expect(valuesOf(pixels([200, 100, 50, 128]), to(1, 1, 3))).toEqual([100, 50, 25]);
  });

  it("keeps a flat picture flat at any size", () => {
    for (const [width, height] of [
      [1, 1],
      [7, 3],
      [28, 28],
      [100, 61],
    ] as const) {
      expect(
        new Set(
          valuesOf(
            grey(13, 17, () => 77),
            to(width, height),
          ),
        ),
      ).toEqual(new Set([77]));
    }
  });

  it("averages with triangle weights when it shrinks", () => {
    // Half size: each target pixel is 1/8, 3/8, 3/8, 1/8 of four source pixels, cut and renormalised at the borders.
    const taps = triangleTaps(8, 4);
    expect([...(taps[1]?.weights ?? [])]).toEqual([0.125, 0.375, 0.375, 0.125]);
    expect(taps[1]?.from).toBe(1);
    expect(
      valuesOf(
        grey(4, 1, (x) => [0, 80, 160, 240][x] as number),
        to(2, 1),
      ),
    ).toEqual([Math.round((3 * 80 + 1 * 160) / 7), Math.round((1 * 80 + 3 * 160 + 3 * 240) / 7)]);
  });

  it("counts every source pixel when it shrinks a lot", () => {
    // One white column in a hundred: a filter of fixed width would miss it.
    const lost = valuesOf(
      grey(100, 1, (x) => (x === 33 ? 255 : 0)),
      to(4, 1),
    );
    expect(lost.some((value) => value > 0)).toBe(true);
  });

  it("interpolates between the centres of pixels when it grows, and holds the borders", () => {
    expect(
      valuesOf(
        grey(2, 1, (x) => x * 100),
        to(4, 1),
      ),
    ).toEqual([0, 25, 75, 100]);
    expect(
      valuesOf(
        grey(1, 2, (_, y) => y * 100),
        to(1, 4),
      ),
    ).toEqual([0, 25, 75, 100]);
  });

  it("treats both axes alike", () => {
    const image = grey(9, 6, (x, y) => (x * 23 + y * 41) % 256);
    const turned = grey(6, 9, (x, y) => (y * 23 + x * 41) % 256);
    const a = valuesOf(image, to(4, 5));
    const b = valuesOf(turned, to(5, 4));
    for (let y = 0; y < 5; y++) {
      for (let x = 0; x < 4; x++) expect(Math.abs((a[y * 4 + x] ?? 0) - (b[x * 5 + y] ?? 0))).toBeLessThanOrEqual(1);
    }
  });

  it("has weights that sum to one, within the picture", () => {
    for (const [source, target] of [
      [1, 28],
      [28, 1],
      [27, 28],
      [2048, 28],
      [3, 3],
    ] as const) {
      for (const { from, weights } of triangleTaps(source, target)) {
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
        expect(from).toBeGreaterThanOrEqual(0);
        expect(from + weights.length).toBeLessThanOrEqual(source);
      }
    }
  });
});
