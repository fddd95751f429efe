/**
 * From decoded pixels to the input tensor that travels: colour model, size, layout. Normalisation is the model's
 * business and comes later, on whichever machine runs it.
 */
import type { ImagePreprocessing } from "../protocol/application.ts";
import type { InputTensor } from "../protocol/tensor.ts";

/** Decoded pixels: 4 bytes each, red, green, blue, alpha (not premultiplied), rows from the top. */
export type RgbaImage = { width: number; height: number; data: Uint8Array | Uint8ClampedArray };

/**
 * The UINT8 tensor [channels, height, width] of an image: transparent parts on black, grey by ITU-R BT.601 where the
 * model has one channel, resized by a triangle filter. Exactly the pixels themselves when the size already fits.
 */
export function imageTensor(image: RgbaImage, preprocessing: ImagePreprocessing): InputTensor {
  const { width, height, channels } = preprocessing;
  const bytes = new Uint8Array(width * height * channels);
  const read = channels === 1 ? readGrey : readChannel;
  for (let channel = 0; channel < channels; channel++) {
    const plane = bytes.subarray(channel * width * height, (channel + 1) * width * height);
    if (image.width === width && image.height === height) {
      for (let y = 0; y < height; y++) read(image, y, channel, plane.subarray(y * width, (y + 1) * width));
    } else {
      resize(image, read, channel, plane, width, height);
    }
  }
  return { datatype: "UINT8", shape: [channels, height, width], bytes: bytes.buffer };
}

type RowReader = (image: RgbaImage, y: number, channel: number, row: Uint8Array | Float32Array) => void;

/** 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point, so that grey pixels keep their exact value. */
const readGrey: RowReader = ({ data, width }, y, _channel, row) => {
  for (let x = 0, at = y * width * 4; x < width; x++, at += 4) {
    const grey =
      ((data[at] as number) * 19595 + (data[at + 1] as number) * 38470 + (data[at + 2] as number) * 7471 + 32768) >> 16;
    row[x] = onBlack(grey, data[at + 3] as number);
  }
};

const readChannel: RowReader = ({ data, width }, y, channel, row) => {
  for (let x = 0, at = y * width * 4; x < width; x++, at += 4) {
    row[x] = onBlack(data[at + channel] as number, data[at + 3] as number);
  }
};

function onBlack(value: number, alpha: number): number {
  return alpha === 255 ? value : Math.round((value * alpha) / 255);
}

/** Separable: rows first, kept as fractions, then columns; rounded once at the end. */
function resize(
  image: RgbaImage,
  read: RowReader,
  channel: number,
  plane: Uint8Array,
  width: number,
  height: number,
): void {
  const across = triangleTaps(image.width, width);
  const down = triangleTaps(image.height, height);
  const row = new Float32Array(image.width);
  const narrow = new Float32Array(image.height * width);
  for (let y = 0; y < image.height; y++) {
    read(image, y, channel, row);
    for (let x = 0; x < width; x++) {
      const { from, weights } = across[x] as Taps;
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += (row[from + i] as number) * (weights[i] as number);
      narrow[y * width + x] = sum;
    }
  }
  for (let y = 0; y < height; y++) {
    const { from, weights } = down[y] as Taps;
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++)
        sum += (narrow[(from + i) * width + x] as number) * (weights[i] as number);
      plane[y * width + x] = Math.min(255, Math.max(0, Math.round(sum)));
    }
  }
}

/** The source pixels one target pixel is made of: consecutive from `from`, weights summing to 1. */
export type Taps = { from: number; weights: Float64Array };

/**
 * Triangle filter from `source` to `target` pixels. Shrinking, the triangle is widened by the ratio, so that every
 * source pixel counts (antialiasing); enlarging, it is bilinear interpolation, clamped at the borders.
 */
export function triangleTaps(source: number, target: number): Taps[] {
  const ratio = source / target;
  const radius = Math.max(1, ratio);
  return Array.from({ length: target }, (_, i) => {
    const centre = (i + 0.5) * ratio;
    const from = Math.max(0, Math.floor(centre - radius));
    const to = Math.min(source, Math.ceil(centre + radius));
    const weights = new Float64Array(to - from);
    let sum = 0;
    for (let j = from; j < to; j++) {
      sum += weights[j - from] = Math.max(0, 1 - Math.abs(j + 0.5 - centre) / radius);
    }
    return { from, weights: weights.map((weight) => weight / sum) };
  });
}
