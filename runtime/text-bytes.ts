/** From posted text to the input tensor of a model that reads bytes. */
import type { BytesPreprocessing } from "../protocol/application.ts";
import { DystriError } from "../protocol/errors.ts";
import type { InputTensor } from "../protocol/tensor.ts";

const SPACE = 0x20;

/**
 * Posted text, without a byte order mark. Throws DystriError bad_request when the bytes are not UTF-8, empty_body when
 * there are none.
 */
export function decodeText(body: Uint8Array): string {
  if (body.length === 0) {
    throw new DystriError("empty_body", "the request has no body", {
      field: "body",
      value: "0 bytes",
      hint: "send text",
    });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(body);
  } catch (cause) {
    throw new DystriError(
      "bad_request",
      "the text is not UTF-8",
      { field: "body", value: `${body.length} bytes`, hint: "send the text encoded as UTF-8" },
      cause,
    );
  }
}

/**
 * The first `length` bytes of UTF-8 text, padded with 0. A character that the cut would split stays split: the model was
 * trained on such ends. Throws as `decodeText` does.
 */
export function bytesTensor(body: Uint8Array, { length }: BytesPreprocessing): InputTensor {
  decodeText(body);
  const bytes = new Uint8Array(length);
  // 0 is padding to the model, so that a NUL in the text must not be one.
  bytes.set(body.subarray(0, length).map((byte) => (byte === 0 ? SPACE : byte)));
  return { datatype: "UINT8", shape: [length], bytes: bytes.buffer };
}
