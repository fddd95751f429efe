/** JSON that somebody posted. */
import { DystriError, quote } from "../protocol/errors.ts";

/** Any JSON value in UTF-8; `wanted` is what the hint says to send. Throws DystriError empty_body or bad_json. */
export function parseJson(bytes: Uint8Array, wanted: string): unknown {
  if (bytes.length === 0) {
    throw new DystriError("empty_body", "the request has no body", {
      field: "body",
      value: "0 bytes",
      hint: `send ${wanted}`,
    });
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : "";
    throw badJson(`the body is not JSON in UTF-8: ${quote(message)}`, `${bytes.length} bytes`, wanted, cause);
  }
}

/** The error of a body that is not the JSON that was wanted. */
export function badJson(detail: string, value: string, wanted: string, cause?: unknown): DystriError {
  return new DystriError("bad_json", detail, { field: "body", value, hint: `send ${wanted} in UTF-8` }, cause);
}
