/** From sound to the log-mel picture that travels: one byte per frame and band. The training code computes the same. */
import type { LogMelPreprocessing } from "../protocol/application.ts";
import type { InputTensor } from "../protocol/tensor.ts";
import { powerSpectrum } from "./fourier.ts";
import { resample } from "./resample.ts";
import type { Sound } from "./wav.ts";

/** Stretches whose energy is at least this share of the greatest are as good as the best. */
const AS_GOOD = 0.99;

/** The UINT8 tensor [1, frames, mels] of a sound of any rate and length. */
export function logMelTensor(sound: Sound, preprocessing: LogMelPreprocessing): InputTensor {
  const { frames, mels, scale, offset } = preprocessing;
  const stretch = fitted(resample(sound.samples, sound.rateHz, preprocessing.sampleRateHz), preprocessing);
  const logs = logMel(stretch, preprocessing);
  const bytes = new Uint8Array(frames * mels);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = Math.min(255, Math.max(0, Math.floor(((logs[i] as number) - offset) / scale + 0.5)));
  }
  return { datatype: "UINT8", shape: [1, frames, mels], bytes: bytes.buffer };
}

/**
 * As many samples as the frames cover. A shorter sound gets silence on both sides. Of a longer one, the stretch with
 * the most energy is taken, in steps of a hop; where several have nearly as much, as around a word between silences,
 * the one in the middle of them.
 */
export function fitted(
  samples: Float32Array<ArrayBuffer>,
  { frames, hopSamples, windowSamples }: Pick<LogMelPreprocessing, "frames" | "hopSamples" | "windowSamples">,
): Float32Array<ArrayBuffer> {
  const wanted = (frames - 1) * hopSamples + windowSamples;
  if (samples.length <= wanted) {
    const padded = new Float32Array(wanted);
    padded.set(samples, Math.floor((wanted - samples.length) / 2));
    return padded;
  }
  const places = Math.floor((samples.length - wanted) / hopSamples) + 1;
  const energies = new Float64Array(places);
  for (let i = 0; i < wanted; i++) energies[0] = (energies[0] as number) + (samples[i] as number) ** 2;
  for (let place = 1; place < places; place++) {
    let energy = energies[place - 1] as number;
    for (let i = (place - 1) * hopSamples; i < place * hopSamples; i++) {
      energy += (samples[i + wanted] as number) ** 2 - (samples[i] as number) ** 2;
    }
    energies[place] = energy;
  }
  const enough = AS_GOOD * energies.reduce((most, energy) => Math.max(most, energy), 0);
  const good = Array.from(energies.keys()).filter((place) => (energies[place] as number) >= enough);
  const start = (good[Math.floor((good.length - 1) / 2)] ?? 0) * hopSamples;
  return samples.slice(start, start + wanted);
}

/** Natural logarithms of mel band power plus `floor`, frame by frame; the samples are as many as the frames cover. */
export function logMel(samples: Float32Array, preprocessing: LogMelPreprocessing): Float64Array {
  const { windowSamples, hopSamples, frames, mels, floor } = preprocessing;
  const window = Float64Array.from(
    { length: windowSamples },
    (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / windowSamples),
  );
  const bands = melBands(preprocessing);
  const frame = new Float64Array(windowSamples);
  const logs = new Float64Array(frames * mels);
  for (let row = 0; row < frames; row++) {
    for (let i = 0; i < windowSamples; i++) {
      frame[i] = (window[i] as number) * (samples[row * hopSamples + i] as number);
    }
    const power = powerSpectrum(frame);
    for (const [band, { from, weights }] of bands.entries()) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += (weights[i] as number) * (power[from + i] as number);
      logs[row * mels + band] = Math.log(sum + floor);
    }
  }
  return logs;
}

type Band = { from: number; weights: number[] };

/** Triangles of height 1, evenly spaced on the mel scale 2595 log10(1 + f / 700). */
function melBands({ sampleRateHz, windowSamples, mels, lowHz, highHz }: LogMelPreprocessing): Band[] {
  const toMel = (hz: number) => 2595 * Math.log10(1 + hz / 700);
  const toHz = (mel: number) => 700 * (10 ** (mel / 2595) - 1);
  const low = toMel(lowHz);
  const step = (toMel(highHz) - low) / (mels + 1);
  const binHz = sampleRateHz / windowSamples;
  return Array.from({ length: mels }, (_, band) => {
    const left = toHz(low + band * step);
    const centre = toHz(low + (band + 1) * step);
    const right = toHz(low + (band + 2) * step);
    const from = Math.ceil(left / binHz);
    const count = Math.max(0, Math.min(windowSamples / 2, Math.floor(right / binHz)) - from + 1);
    const weights = Array.from({ length: count }, (_, i) => {
      const hz = (from + i) * binHz;
      return Math.max(0, Math.min((hz - left) / (centre - left), (right - hz) / (right - centre)));
    });
    return { from, weights };
  });
}
