/** Bodies that are no image the application takes, or more than it takes. */
import { beforeAll, describe, expect, it } from "vitest";
import { MAX_BODY_BYTES } from "../../protocol/limits.ts";
import { jpegHeaderOnly, pngHeaderOnly } from "../support/images.ts";
import { expectRefusal, newCaller, withHeaders, type BadInput, type Caller } from "./bad-input-fixture.ts";
import { bearer, call, INFER } from "./client.ts";

let caller: Caller;
beforeAll(async () => {
  caller = await newCaller();
});

const bytes =
  (make: (caller: Caller) => Uint8Array | string, type = "image/png") =>
  (caller: Caller): RequestInit => ({
    method: "POST",
    headers: { ...bearer(caller.key), "content-type": type },
    body: make(caller),
  });

const CASES: BadInput[] = [
  { name: "an empty body", path: INFER, init: bytes(() => ""), status: 400, code: "empty_body", field: "body" },
  {
    name: "no body",
    path: INFER,
    init: ({ key }) => ({ method: "POST", headers: bearer(key) }),
    status: 400,
    code: "empty_body",
    field: "body",
  },
  {
    name: "a truncated image",
    path: INFER,
    init: bytes(({ picture }) => picture.subarray(0, -20)),
    status: 400,
    code: "bad_image",
    field: "body",
  },
  {
    name: "a 5000 × 5000 PNG header",
    path: INFER,
    init: bytes(() => pngHeaderOnly(5000, 5000)),
    status: 413,
    code: "too_large",
    field: "body",
    value: "5000x5000",
  },
  {
    name: "a 5000 × 5000 JPEG header",
    path: INFER,
    init: bytes(() => jpegHeaderOnly(5000, 5000), "image/jpeg"),
    status: 413,
    code: "too_large",
    field: "body",
    value: "5000x5000",
  },
  {
    name: "a body over its limit",
    path: INFER,
    init: bytes(() => new Uint8Array(MAX_BODY_BYTES + 1)),
    status: 413,
    code: "too_large",
    field: "body",
    // Told by its length, before any of it is read.
    value: `${MAX_BODY_BYTES + 1} bytes`,
  },
  {
    name: "another content type",
    path: INFER,
    init: bytes(() => "{}", "application/json"),
    status: 415,
    code: "unsupported_media",
    field: "header Content-Type",
    value: "application/json",
  },
  {
    name: "bytes of another kind",
    path: INFER,
    init: bytes(() => "GIF89a and so on"),
    status: 415,
    code: "unsupported_media",
    field: "body",
  },
  {
    name: "an unknown content encoding",
    path: INFER,
    init: withHeaders({ "content-encoding": "br" }),
    status: 415,
    code: "unsupported_media",
    field: "header Content-Encoding",
    value: "br",
  },
  {
    name: "a body that is not the encoding it claims",
    path: INFER,
    init: withHeaders({ "content-encoding": "gzip" }),
    status: 400,
    code: "bad_request",
    field: "body",
  },
];

describe("bad input", () => {
  it.each(CASES)("$name → $status $code", (input) => expectRefusal(caller, input));

  it("is refused while it streams, whatever length it claims", async () => {
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 65_536;
        controller.enqueue(new Uint8Array(65_536));
      },
    });
    const response = await call(INFER, {
      method: "POST",
      headers: { ...bearer(caller.key), "content-type": "image/png" },
      body: endless,
    });
    expect(response.status).toBe(413);
    expect(sent).toBeLessThan(MAX_BODY_BYTES + 4 * 1024 * 1024);
  });

  it("is measured unpacked when it comes packed", async () => {
    const packed = new Response(new Uint8Array(4 * MAX_BODY_BYTES)).body?.pipeThrough(new CompressionStream("gzip"));
    const body = await new Response(packed ?? null).arrayBuffer();
    expect(body.byteLength).toBeLessThan(MAX_BODY_BYTES / 10);
    const response = await call(INFER, {
      method: "POST",
      headers: { ...bearer(caller.key), "content-encoding": "gzip" },
      body,
    });
    expect(response.status).toBe(413);
  });
});
