/** Another sampling rate, by a Hann-windowed sinc that also keeps out what the lower rate cannot hold. Rates are whole Hz. */

/** Zero crossings of the sinc on each side of its centre, and the share kept of the band the lower rate can hold. */
const ZEROS = 16;
const ROLLOFF = 0.95;

/** Places between two input samples that are told apart: all there are at rates in use, the nearest at odd ones. */
const MAX_PLACES = 512;

/**
 * Output sample i is the sound at i / to seconds; silence before the beginning and after the end. The samples
 * themselves where the rates are equal. The training code resamples the same way.
 */
export function resample(samples: Float32Array<ArrayBuffer>, from: number, to: number): Float32Array<ArrayBuffer> {
  if (from === to) return samples;
  const common = greatestCommonDivisor(from, to);
  const down = from / common;
  const up = to / common;
  const cutoff = Math.min(1, up / down) * ROLLOFF;
  const half = Math.ceil(ZEROS / cutoff);
  const result = new Float32Array(Math.ceil((samples.length * up) / down));
  const places = Math.min(up, MAX_PLACES);
  /** One kernel per place of an output sample between two input samples, made when first met. */
  const kernels = new Map<number, Float64Array>();
  for (let i = 0; i < result.length; i++) {
    const phase = (i * down) % up;
    const before = (i * down - phase) / up;
    const place = Math.round((phase * places) / up);
    let kernel = kernels.get(place);
    if (!kernel) kernels.set(place, (kernel = kernelAt(place / places, half, cutoff)));
    const first = before - half;
    let sum = 0;
    for (let k = Math.max(0, -first), end = Math.min(kernel.length, samples.length - first); k < end; k++) {
      sum += (kernel[k] as number) * (samples[first + k] as number);
    }
    result[i] = sum;
  }
  return result;
}

/** Weights of the input samples from `half` before to `half` + 1 after the one before, for a place `past` it. */
function kernelAt(past: number, half: number, cutoff: number): Float64Array {
  return Float64Array.from({ length: 2 * half + 2 }, (_, k) => {
    const x = (k - half - past) * cutoff;
    if (Math.abs(x) >= ZEROS) return 0;
    const window = Math.cos((Math.PI * x) / ZEROS / 2) ** 2;
    return x === 0 ? cutoff : (cutoff * window * Math.sin(Math.PI * x)) / (Math.PI * x);
  });
}

function greatestCommonDivisor(a: number, b: number): number {
  while (b > 0) [a, b] = [b, a % b];
  return a;
}
