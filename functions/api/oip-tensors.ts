/** Tensor data of the Open Inference Protocol v2: JSON arrays and raw little-endian bytes, in and out. */
import type { Datatype } from "../../protocol/application.ts";
import { DystriError, quote } from "../../protocol/errors.ts";

type Kind = {
  bytes: number;
  /** What a value may be, for the person who has to mend it. */
  values: string;
  fits(value: number): boolean;
  write(view: DataView, at: number, value: number): void;
};

const KINDS: Readonly<Record<Datatype, Kind>> = {
  UINT8: {
    bytes: 1,
    values: "whole numbers from 0 to 255",
    fits: (value) => Number.isInteger(value) && value >= 0 && value <= 255,
    write: (view, at, value) => view.setUint8(at, value),
  },
  UINT16: {
    bytes: 2,
    values: "whole numbers from 0 to 65535",
    fits: (value) => Number.isInteger(value) && value >= 0 && value <= 65535,
    write: (view, at, value) => view.setUint16(at, value, true),
  },
  INT64: {
    bytes: 8,
    values: "whole numbers of at most 53 bits",
    fits: Number.isSafeInteger,
    write: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
  },
  FP32: {
    bytes: 4,
    values: "finite numbers of single precision",
    fits: (value) => Number.isFinite(Math.fround(value)),
    write: (view, at, value) => view.setFloat32(at, value, true),
  },
};

/**
 * The bytes of a tensor given as a JSON array, flat or nested, row-major, of `shape`. Throws DystriError bad_tensor
 * naming `field` when there are too few or too many values, or one that does not fit the datatype.
 */
export function bytesOfJson(datatype: Datatype, shape: readonly number[], data: unknown, field: string): ArrayBuffer {
  const kind = KINDS[datatype];
  const wanted = shape.reduce((product, size) => product * size, 1);
  const bytes = new ArrayBuffer(wanted * kind.bytes);
  const view = new DataView(bytes);
  // As deep as the tensor with its batch dimension; a hostile depth would exhaust the stack.
  const deepest = shape.length + 1;
  let count = 0;
  const take = (value: unknown, depth: number): void => {
    if (Array.isArray(value)) {
      if (depth > deepest) throw problem(`${field} is nested too deeply`, `more than ${deepest} levels`);
      for (const item of value) take(item, depth + 1);
      return;
    }
    if (typeof value !== "number" || !kind.fits(value)) {
      throw problem(`value ${count} of ${field} does not fit ${datatype}`, quote(value));
    }
    if (count >= wanted) throw problem(`${field} has more than ${wanted} values`, `more than ${wanted} values`);
    kind.write(view, count * kind.bytes, value);
    count++;
  };
  const problem = (detail: string, value: string): DystriError =>
    new DystriError("bad_tensor", detail, {
      field,
      value,
      hint: `send ${wanted} ${kind.values}, flat or nested in row-major order`,
    });
  if (!Array.isArray(data)) throw problem(`${field} is not an array`, quote(data ?? null));
  take(data, 1);
  if (count < wanted) throw problem(`${field} has ${count} values, not ${wanted}`, `${count} values`);
  return bytes;
}

/** Raw bytes of single-precision numbers. */
export function fp32Bytes(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setFloat32(i * 4, value, true));
  return bytes;
}

/** Raw bytes of a BYTES tensor: each element is its length as a uint32, then the bytes. */
export function textBytes(values: readonly string[]): Uint8Array {
  const elements = values.map((value) => new TextEncoder().encode(value));
  const bytes = new Uint8Array(elements.reduce((sum, element) => sum + 4 + element.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const element of elements) {
    view.setUint32(at, element.length, true);
    bytes.set(element, at + 4);
    at += 4 + element.length;
  }
  return bytes;
}
