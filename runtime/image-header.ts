/**
 * What a PNG or JPEG says of itself, read without decoding: kind, size, and whether the file is whole. A decoder is
 * given nothing that was not measured here first, because its memory grows with what the header claims.
 */
import { DystriError } from "../protocol/errors.ts";
import { MAX_PIXELS } from "../protocol/limits.ts";

export type ImageKind = "image/png" | "image/jpeg";

export type ImageHeader = {
  kind: ImageKind;
  width: number;
  height: number;
  /**
   * PNG: byte ranges, signature included, of the parts that make the picture. Everything else (profiles, texts) is
   * left out, because some of it unpacks to any size. Absent for JPEG.
   */
  parts?: [from: number, to: number][];
};

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Scans of a progressive JPEG. Encoders write about ten; each costs a pass over the whole picture. */
const MAX_JPEG_SCANS = 100;

/** The image kind the first bytes announce; null when they announce neither kind. */
export function sniffImage(bytes: Uint8Array): ImageKind | null {
  if (PNG_SIGNATURE.every((byte, i) => bytes[i] === byte)) return "image/png";
  return bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff ? "image/jpeg" : null;
}

/**
 * Reads the header and walks the file's structure to its end. Throws DystriError: `bad_image` when the file is
 * truncated, malformed or without pixels, `too_large` when it has more than MAX_PIXELS, `unsupported_media` when it
 * is neither PNG nor JPEG, or of a sort that is not decoded here (animated, CMYK, lossless JPEG).
 */
export function readImageHeader(bytes: Uint8Array): ImageHeader {
  const kind = sniffImage(bytes);
  if (kind === "image/png") return readPng(bytes);
  if (kind === "image/jpeg") return readJpeg(bytes);
  throw new DystriError("unsupported_media", "the body is neither PNG nor JPEG", {
    field: "body",
    value: `${bytes.length} bytes that start with ${hexOf(bytes.subarray(0, 8))}`,
    hint: "send a PNG or JPEG file",
  });
}

function readPng(bytes: Uint8Array): ImageHeader {
  const view = viewOf(bytes);
  const parts: [number, number][] = [[0, PNG_SIGNATURE.length]];
  let size: { width: number; height: number } | undefined;
  let dataSeen = false;
  for (let at = PNG_SIGNATURE.length; ;) {
    if (at + 12 > bytes.length) throw truncated("PNG", bytes);
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const end = at + 12 + length;
    if (!size) {
      if (type !== "IHDR" || length !== 13) throw malformed("the PNG does not begin with its header chunk", type);
      if (end > bytes.length) throw truncated("PNG", bytes);
      size = checkedSize(view.getUint32(at + 8), view.getUint32(at + 12));
    }
    if (end > bytes.length) throw truncated("PNG", bytes);
    if (type === "acTL") throw unsupported("an animated PNG", "send a single picture");
    if (type === "IDAT") dataSeen = true;
    if (type === "IEND") {
      if (!dataSeen) throw malformed("the PNG has no picture data", "no IDAT chunk");
      append(parts, at, end);
      return { kind: "image/png", ...size, parts };
    }
    // Upper case in the first letter marks the chunks a decoder must have; transparency is the one other that counts.
    if ((bytes[at + 4] as number) < 0x60 || type === "tRNS") append(parts, at, end);
    at = end;
  }
}

/** Adds a range, joined with the one before where they touch. */
function append(parts: [number, number][], from: number, to: number): void {
  const last = parts.at(-1);
  if (last?.[1] === from) last[1] = to;
  else parts.push([from, to]);
}

function readJpeg(bytes: Uint8Array): ImageHeader {
  const view = viewOf(bytes);
  let size: { width: number; height: number } | undefined;
  let scans = 0;
  for (let at = 2; ;) {
    if (at + 2 > bytes.length) throw truncated("JPEG", bytes);
    if (bytes[at] !== 0xff) throw malformed("the JPEG has no marker where one must be", `byte ${at}`);
    const marker = bytes[at + 1] as number;
    if (marker === 0xff) {
      at++; // Any number of fill bytes may precede a marker.
      continue;
    }
    if (marker === 0xd9) {
      if (!size || scans === 0) throw malformed("the JPEG ends before its picture", `byte ${at}`);
      return { kind: "image/jpeg", ...size };
    }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2;
      continue;
    }
    if (at + 4 > bytes.length) throw truncated("JPEG", bytes);
    const length = view.getUint16(at + 2);
    if (length < 2) throw malformed("a JPEG segment is shorter than its own length field", `byte ${at}`);
    const end = at + 2 + length;
    if (end > bytes.length) throw truncated("JPEG", bytes);
    if (isFrame(marker)) {
      if (size) throw malformed("the JPEG has two frame headers", `byte ${at}`);
      if (marker !== 0xc0 && marker !== 0xc1 && marker !== 0xc2) {
        throw unsupported("a lossless, hierarchical or arithmetic-coded JPEG", "send a baseline or progressive JPEG");
      }
      if (length < 8) throw malformed("the JPEG's frame header is too short", `${length} bytes`);
      if (bytes[at + 4] !== 8) throw unsupported(`a JPEG of ${String(bytes[at + 4])} bits`, "send one of 8 bits");
      size = checkedSize(view.getUint16(at + 7), view.getUint16(at + 5));
      const components = bytes[at + 9] as number;
      if (components !== 1 && components !== 3) {
        throw unsupported(`a JPEG of ${components} colour components`, "convert it to RGB or grey");
      }
    }
    at = end;
    if (marker === 0xda) {
      if (!size) throw malformed("the JPEG's data comes before its frame header", `byte ${at}`);
      if (++scans > MAX_JPEG_SCANS) throw malformed("the JPEG has too many scans", `more than ${MAX_JPEG_SCANS}`);
      at = endOfScan(bytes, at);
    }
  }
}

/** Start-of-frame markers: 0xC0–0xCF without DHT, JPG and DAC. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Index of the first marker after entropy-coded data that starts at `from`; throws when the file ends before one. */
function endOfScan(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0xff, from); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1)) {
    const next = bytes[at + 1] as number;
    // 0x00 is a stuffed data byte, D0–D7 restart the same scan, a second 0xFF is a fill byte.
    if (next !== 0x00 && next !== 0xff && (next < 0xd0 || next > 0xd7)) return at;
  }
  throw truncated("JPEG", bytes);
}

function checkedSize(width: number, height: number): { width: number; height: number } {
  const value = `${width}x${height}`;
  if (width === 0 || height === 0) {
    throw new DystriError("bad_image", `the image is ${value}: it has no pixels`, {
      field: "body",
      value,
      hint: "send an image of at least 1x1 pixels",
    });
  }
  if (width * height > MAX_PIXELS) {
    throw new DystriError("too_large", `the image is ${value}, more than ${MAX_PIXELS} pixels`, {
      field: "body",
      value,
      hint: `scale it down to at most ${MAX_PIXELS} pixels, such as 2048x2048; models read far fewer`,
    });
  }
  return { width, height };
}

function truncated(kind: string, bytes: Uint8Array): DystriError {
  return new DystriError("bad_image", `the ${kind} ends too early: it is truncated`, {
    field: "body",
    value: `${bytes.length} bytes`,
    hint: "send the whole file",
  });
}

function malformed(detail: string, value: string): DystriError {
  return new DystriError("bad_image", detail, {
    field: "body",
    value: value.replace(/[^\x20-\x7e]/g, "?"),
    hint: "send a well-formed file",
  });
}

function unsupported(what: string, hint: string): DystriError {
  return new DystriError("unsupported_media", `${what} is not decoded here`, { field: "body", value: what, hint });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
