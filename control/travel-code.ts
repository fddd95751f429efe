/** In which code the tensor of a cut travels. */
import type { CutSpec } from "../protocol/application.ts";
import type { PackedTensor } from "../protocol/tensor.ts";

/** Accuracy a code may cost, in percentage points of the validation split. */
export const MAX_LOST_POINTS = 0.1;

/**
 * The code with the fewest bytes that costs at most MAX_LOST_POINTS of accuracy; float32, which costs none, where
 * every code costs more.
 */
export function travelCode({ bytes, lostPoints }: CutSpec): PackedTensor["code"] {
  const codes = (["u8", "u4"] as const).filter((code) => lostPoints[code] <= MAX_LOST_POINTS);
  return codes.reduce<PackedTensor["code"]>((best, code) => (bytes[code] < bytes[best] ? code : best), "f32");
}
