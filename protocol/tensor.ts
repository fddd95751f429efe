/** Tensors as they travel between machines: plain data, one sample each. */
import type { Datatype } from "./application.ts";

/** An application's input before normalisation, row-major, little-endian. */
export type InputTensor = { datatype: Datatype; shape: number[]; bytes: ArrayBuffer };

/**
 * A cut tensor, quantised for the journey: value = (code − zero) · scale. `u4` holds two codes a byte, first in the
 * high half. Packed once where the stage ran, passed on untouched, unpacked where the next stage runs.
 */
export type PackedTensor = {
  shape: number[];
  code: "f32" | "u8" | "u4";
  scale: number;
  zero: number;
  deflated: boolean;
  bytes: ArrayBuffer;
};

/** What a machine resumes from: the input, or the tensor left by the stage of rung `rung`. */
export type Start = { from: "input"; input: InputTensor } | { from: number; cut: PackedTensor };
