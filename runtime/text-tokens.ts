/** From posted text to the input tensor of a model that reads hashed words; protocol/application.ts defines the words. */
import type { TokensPreprocessing } from "../protocol/application.ts";
import type { InputTensor } from "../protocol/tensor.ts";
import { decodeText } from "./text-bytes.ts";

type Segments = TokensPreprocessing["segments"];

const FNV_START = 0x811c9dc5;
const fnvStep = (hash: number, byte: number): number => Math.imul(hash ^ byte, 0x01000193);

/** FNV-1a, 32 bits. */
function fnv1a(bytes: Uint8Array): number {
  let hash = FNV_START;
  for (const byte of bytes) hash = fnvStep(hash, byte);
  return hash >>> 0;
}

/** Writes the ids of the first words of `text` from `at` on; stops where `length` are written, however long the text. */
function writeIds(ids: Uint16Array, at: number, length: number, text: string, buckets: number): void {
  const encoder = new TextEncoder();
  const word = /[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]/gu;
  for (let i = at; i < at + length; i++) {
    const found = word.exec(text);
    if (!found) return;
    const lower = /^[A-Z]/i.test(found[0]) ? found[0].toLowerCase() : found[0];
    ids[i] = 1 + (fnv1a(encoder.encode(lower)) % buckets);
  }
}

/** One text per segment: head lines by name for all but the last, which takes what follows. */
export function cutSegments(text: string, segments: Segments): string[] {
  const names = segments.slice(0, -1).map(({ name }) => name);
  const found = new Map<string, string>();
  let at = 0;
  /** The segment that a continuation adds to; null before any head line, "" where it is dropped. */
  let open: string | null = null;
  while (names.length > 0 && at < text.length) {
    const lineFeed = text.indexOf("\n", at);
    const next = lineFeed < 0 ? text.length : lineFeed + 1;
    const line = text.slice(at, lineFeed < 0 ? text.length : lineFeed).replace(/\r$/, "");
    if (line === "") {
      at = next;
      break;
    }
    if (open !== null && (line.startsWith(" ") || line.startsWith("\t"))) {
      if (open !== "") found.set(open, `${found.get(open) ?? ""}${line}`);
    } else {
      const head = /^([!-9;-~]+):/.exec(line);
      if (!head) break;
      const name = (head[1] as string).toLowerCase();
      open = names.includes(name) && !found.has(name) ? name : "";
      if (open !== "") found.set(open, line.slice(head[0].length));
    }
    at = next;
  }
  if (found.size === 0) return segments.map((_, i) => (i === names.length ? text : ""));
  return [...names.map((name) => found.get(name) ?? ""), text.slice(at)];
}

/**
 * The word ids of UTF-8 text, segment by segment, padded with 0. Throws DystriError bad_request when the bytes are not
 * UTF-8, empty_body when there are none. A text without a word is all padding.
 */
export function tokensTensor(body: Uint8Array, { segments, buckets }: TokensPreprocessing): InputTensor {
  const ids = new Uint16Array(segments.reduce((sum, { length }) => sum + length, 0));
  const parts = cutSegments(decodeText(body), segments);
  let at = 0;
  for (const [i, { length }] of segments.entries()) {
    writeIds(ids, at, length, parts[i] as string, buckets);
    at += length;
  }
  const view = new DataView(new ArrayBuffer(ids.length * 2));
  ids.forEach((id, i) => view.setUint16(i * 2, id, true));
  return { datatype: "UINT16", shape: [ids.length], bytes: view.buffer };
}

/** The ids of a tensor of words. */
export function idsOf({ bytes }: InputTensor): Uint16Array {
  const view = new DataView(bytes);
  return Uint16Array.from({ length: bytes.byteLength / 2 }, (_, i) => view.getUint16(i * 2, true));
}

/** Each id and, after it, the id of the pair that it ends. */
export function withPairs(ids: Uint16Array, segments: Segments, buckets: number): Float64Array {
  const pairs = new Float64Array(ids.length * 2);
  let at = 0;
  for (const { length } of segments) {
    for (let i = at; i < at + length; i++) {
      const id = ids[i] as number;
      const before = i === at ? 0 : (ids[i - 1] as number);
      pairs[2 * i] = id;
      if (id === 0 || before === 0) continue;
      const hash = [before & 255, before >> 8, id & 255, id >> 8].reduce(fnvStep, FNV_START) >>> 0;
      pairs[2 * i + 1] = 1 + (hash % buckets);
    }
    at += length;
  }
  return pairs;
}
