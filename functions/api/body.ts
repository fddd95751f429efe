/** Reading request bodies with a limit that holds while they stream: what a header claims is not believed. */
import { DystriError, quote } from "../../protocol/errors.ts";
import { MAX_BODY_BYTES, MAX_JSON_BYTES } from "../../protocol/limits.ts";
import { badJson, parseJson } from "../../runtime/json-body.ts";

const WANTED = "a JSON object";

/** A body of raw bytes, at most `limit` of them. Throws DystriError too_large, unsupported_media or bad_request. */
export function readBytes(request: Request, limit: number = MAX_BODY_BYTES): Promise<Uint8Array> {
  return read(request, limit);
}

/** A JSON object, at most MAX_JSON_BYTES of text. Throws DystriError too_large, empty_body, bad_json. */
export async function readJsonObject(request: Request): Promise<Record<string, unknown>> {
  return parseJsonObject(await read(request, MAX_JSON_BYTES));
}

/** Throws DystriError empty_body or bad_json. */
export function parseJsonObject(bytes: Uint8Array): Record<string, unknown> {
  const value = parseJson(bytes, WANTED);
  if (!isObject(value)) throw badJson("the body is JSON, but not an object", quote(value), WANTED);
  return value;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function read(request: Request, limit: number): Promise<Uint8Array> {
  const header = request.headers.get("content-length");
  const claimed = Number(header);
  if (claimed > limit) throw tooLarge(`${claimed} bytes`, limit);
  const encoding = request.headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  const body = request.body;
  if (!body) return new Uint8Array();
  if (encoding === "identity") {
    try {
      // A stated length frames the body: no more than that can come, so that it may be read in one go.
      if (header !== null) return new Uint8Array(await request.arrayBuffer());
      return await collect(body, limit);
    } catch (cause) {
      if (cause instanceof DystriError) throw cause;
      throw new DystriError("client_gone", "the body ended before its end", {}, cause);
    }
  }
  if (encoding !== "gzip" && encoding !== "deflate") {
    throw new DystriError("unsupported_media", `the content encoding ${quote(encoding)} is not known`, {
      field: "header Content-Encoding",
      value: quote(encoding),
      hint: "send gzip, deflate or no encoding",
    });
  }
  try {
    // The limit is on what comes out: a few kilobytes can unpack to gigabytes.
    return await collect(body.pipeThrough(new DecompressionStream(encoding)), limit);
  } catch (cause) {
    if (cause instanceof DystriError) throw cause;
    throw new DystriError(
      "bad_request",
      `the body is not ${encoding} data`,
      { field: "body", value: encoding, hint: "send a well-formed body, or leave Content-Encoding out" },
      cause,
    );
  }
}

async function collect(stream: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > limit) {
      // Not awaited: the sender may never acknowledge, and nothing of it is needed.
      reader.cancel().catch(() => undefined);
      throw tooLarge(`more than ${limit} bytes`, limit);
    }
    chunks.push(value);
  }
  const [first] = chunks;
  if (first && chunks.length === 1) return first;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}

function tooLarge(value: string, limit: number): DystriError {
  return new DystriError("too_large", `the body is larger than the limit of ${limit} bytes`, {
    field: "body",
    value,
    hint: `send at most ${limit} bytes`,
  });
}
