/** From posted numbers to the input tensor of a table model. */
import type { TablePreprocessing } from "../protocol/application.ts";
import { DystriError, quote } from "../protocol/errors.ts";
import type { InputTensor } from "../protocol/tensor.ts";

/**
 * Reads a JSON value: an array of whole numbers 0–255, one per feature, or an object whose `values` is one. Throws
 * DystriError bad_tensor naming the entry that is wrong.
 */
export function tableTensor(value: unknown, { features }: TablePreprocessing): InputTensor {
  const named = typeof value === "object" && value !== null && !Array.isArray(value);
  const values: unknown = named ? (value as { values?: unknown }).values : value;
  const at = named ? "body.values" : "body";
  if (!Array.isArray(values) || values.length !== features.length) {
    const found = Array.isArray(values) ? `${values.length} entries` : quote(values);
    throw problem(at, found, `an array of ${features.length} numbers is expected`, features);
  }
  const wrong = values.findIndex((entry) => !Number.isInteger(entry) || entry < 0 || entry > 255);
  if (wrong >= 0) {
    throw problem(`${at}[${wrong}]`, quote(values[wrong]), `${features[wrong]} is a whole number, 0 to 255`, features);
  }
  return { datatype: "UINT8", shape: [features.length], bytes: Uint8Array.from(values as number[]).buffer };
}

function problem(field: string, value: string, detail: string, features: readonly string[]): DystriError {
  const names = features.length > 6 ? `${features.slice(0, 6).join(", ")}, …` : features.join(", ");
  return new DystriError("bad_tensor", detail, { field, value, hint: `in this order: ${names}` });
}
