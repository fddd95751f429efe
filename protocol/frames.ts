/**
 * The binary frame between a gateway and a node's agent. Little endian:
 *
 *     u8 version | u8 kind | u16 zero | u32 sequence | u32 header bytes | header, JSON in UTF-8 | payload
 *
 * The payload is what is left of the message. `sequence` names one job within an epoch; it is 0 where no job is meant.
 * Sizes are checked before anything is parsed, and the decoder never throws, whatever the bytes.
 */
import { MAX_FRAME_HEADER_BYTES, MAX_FRAME_PAYLOAD_BYTES } from "./limits.ts";

export const FRAME_VERSION = 1;
export const FRAME_PREFIX_BYTES = 12;
export const MAX_FRAME_BYTES = FRAME_PREFIX_BYTES + MAX_FRAME_HEADER_BYTES + MAX_FRAME_PAYLOAD_BYTES;
export const MAX_SEQUENCE = 0xffffffff;

/** The kind's byte on the wire is its place in this list, counted from 1. The order is part of the protocol. */
export const FRAME_KINDS = [
  "hello",
  "welcome",
  "job",
  "answer",
  "refusal",
  "cancel",
  "drain",
  "probe",
  "alive",
] as const;
export type FrameKind = (typeof FRAME_KINDS)[number];

export type Frame = {
  kind: FrameKind;
  sequence: number;
  /** A JSON object; its fields are the business of node-messages. */
  header: Record<string, unknown>;
  payload: Uint8Array<ArrayBuffer>;
};

export type FrameError = {
  code: "truncated" | "too_large" | "bad_version" | "bad_kind" | "bad_prefix" | "bad_text" | "bad_json" | "bad_field";
  message: string;
  /** WebSocket close code for the socket it came from: 1002 protocol error, 1007 inconsistent data, 1009 too big. */
  closeCode: 1002 | 1007 | 1009;
};

export type Decoded<T> = { ok: true; value: T } | { ok: false; error: FrameError };

const fail = (code: FrameError["code"], closeCode: FrameError["closeCode"], message: string): Decoded<never> => ({
  ok: false,
  error: { code, closeCode, message },
});

/** Throws RangeError when the frame is over a limit: the sender's own mistake, found before it travels. */
export function encodeFrame(frame: Frame): Uint8Array<ArrayBuffer> {
  const header = new TextEncoder().encode(JSON.stringify(frame.header));
  if (header.length > MAX_FRAME_HEADER_BYTES) {
    throw new RangeError(
      `the ${frame.kind} header has ${header.length} bytes, over the limit of ${MAX_FRAME_HEADER_BYTES}`,
    );
  }
  if (frame.payload.length > MAX_FRAME_PAYLOAD_BYTES) {
    throw new RangeError(
      `the ${frame.kind} payload has ${frame.payload.length} bytes, over the limit of ${MAX_FRAME_PAYLOAD_BYTES}`,
    );
  }
  if (!Number.isInteger(frame.sequence) || frame.sequence < 0 || frame.sequence > MAX_SEQUENCE) {
    throw new RangeError(`${frame.sequence} is no frame sequence`);
  }
  const bytes = new Uint8Array(FRAME_PREFIX_BYTES + header.length + frame.payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, FRAME_VERSION);
  view.setUint8(1, FRAME_KINDS.indexOf(frame.kind) + 1);
  view.setUint32(4, frame.sequence, true);
  view.setUint32(8, header.length, true);
  bytes.set(header, FRAME_PREFIX_BYTES);
  bytes.set(frame.payload, FRAME_PREFIX_BYTES + header.length);
  return bytes;
}

/** Reads one message. The payload is a copy, so that it may be transferred and keeps no larger buffer alive. */
export function decodeFrame(message: ArrayBuffer | Uint8Array): Decoded<Frame> {
  const bytes = message instanceof Uint8Array ? message : new Uint8Array(message);
  if (bytes.length > MAX_FRAME_BYTES) return fail("too_large", 1009, `${bytes.length} bytes, over ${MAX_FRAME_BYTES}`);
  if (bytes.length < FRAME_PREFIX_BYTES) return fail("truncated", 1002, `${bytes.length} bytes, no frame`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint8(0);
  if (version !== FRAME_VERSION) return fail("bad_version", 1002, `version ${version}, not ${FRAME_VERSION}`);
  const kind = FRAME_KINDS[view.getUint8(1) - 1];
  if (kind === undefined) return fail("bad_kind", 1002, `kind ${view.getUint8(1)} is unknown`);
  if (view.getUint16(2, true) !== 0) return fail("bad_prefix", 1002, "the reserved bytes are not zero");

  const headerBytes = view.getUint32(8, true);
  if (headerBytes > MAX_FRAME_HEADER_BYTES) {
    return fail("too_large", 1009, `header of ${headerBytes} bytes, over ${MAX_FRAME_HEADER_BYTES}`);
  }
  const payloadAt = FRAME_PREFIX_BYTES + headerBytes;
  if (bytes.length < payloadAt) return fail("truncated", 1002, `header of ${headerBytes} bytes is cut off`);
  if (bytes.length - payloadAt > MAX_FRAME_PAYLOAD_BYTES) {
    return fail("too_large", 1009, `payload of ${bytes.length - payloadAt} bytes, over ${MAX_FRAME_PAYLOAD_BYTES}`);
  }

  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      bytes.subarray(FRAME_PREFIX_BYTES, payloadAt),
    );
  } catch {
    return fail("bad_text", 1007, "the header is not UTF-8");
  }
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    return fail("bad_json", 1007, "the header is not JSON");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    return fail("bad_json", 1007, "the header is not a JSON object");
  }
  return {
    ok: true,
    value: {
      kind,
      sequence: view.getUint32(4, true),
      header: header as Record<string, unknown>,
      payload: new Uint8Array(bytes.slice(payloadAt)),
    },
  };
}

/** The longest close reason the WebSocket protocol carries, in bytes (RFC 6455: 125 of a control frame, less the code). */
export const MAX_CLOSE_REASON_BYTES = 123;

/** Text fit for a close frame: ASCII, cut to its limit. */
export function closeReason(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, MAX_CLOSE_REASON_BYTES);
}

/** Close codes of our own: the node's newer connection took over, it gave no sign of life, or its certificate was revoked. */
export const CLOSE_SUPERSEDED = 4001;
export const CLOSE_SILENT = 4002;
export const CLOSE_REVOKED = 4003;
