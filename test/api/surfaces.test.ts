import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { MAX_BODY_BYTES, MAX_JSON_BYTES } from "../../protocol/limits.ts";
import { greyPng, jpegHeaderOnly, pngHeaderOnly } from "../support/images.ts";
import { identify } from "../../functions/api/auth.ts";
import { admin, bearer, call, newUser, problemOf, type NewUser } from "./client.ts";
import { mixKeys } from "./keys.ts";

let user: NewUser;
let picture: Uint8Array;
beforeAll(async () => {
  user = await newUser();
  picture = await greyPng(8, 8, (x) => x * 30);
});

const tensor = (over: Record<string, unknown> = {}, request: Record<string, unknown> = {}): string =>
  JSON.stringify({
    inputs: [{ name: "image", datatype: "UINT8", shape: [1, 1, 8, 8], data: new Array(64).fill(7), ...over }],
    ...request,
  });

type Case = {
  name: string;
  path: string;
  init: () => RequestInit;
  status: number;
  code: string;
  field: string;
  value?: string;
};

const INFER = "/v1/infer/tiny";
const OIP = "/v2/models/tiny/infer";
const PLAN = "/v1/plan/tiny";
const image =
  (over: RequestInit = {}) =>
  (): RequestInit => ({
    method: "POST",
    headers: { ...bearer(user.key), "content-type": "image/png" },
    body: picture,
    ...over,
  });
const bytes =
  (make: () => Uint8Array | string, type = "image/png") =>
  (): RequestInit => ({
    method: "POST",
    headers: { ...bearer(user.key), "content-type": type },
    body: make(),
  });
const withKey = (authorization?: string) => (): RequestInit => ({
  method: "POST",
  headers: authorization === undefined ? {} : { authorization },
  body: picture,
});
const withHeaders = (headers: Record<string, string>) => (): RequestInit => ({
  method: "POST",
  headers: { ...bearer(user.key), ...headers },
  body: picture,
});
const json =
  (body: string, headers: Record<string, string> = {}) =>
  (): RequestInit => ({
    method: "POST",
    headers: { ...bearer(user.key), ...headers },
    body,
  });

const CASES: Case[] = [
  {
    name: "an unknown application",
    path: "/v1/infer/shoes",
    init: image(),
    status: 404,
    code: "unknown_application",
    field: "path",
    value: "shoes",
  },
  {
    name: "an unknown application to plan for",
    path: "/v1/plan/shoes",
    init: image(),
    status: 404,
    code: "unknown_application",
    field: "path",
  },
  {
    name: "an unknown model",
    path: "/v2/models/shoes/infer",
    init: json("{}"),
    status: 404,
    code: "unknown_application",
    field: "path",
  },
  {
    name: "an application named like a property",
    path: "/v1/infer/__proto__",
    init: image(),
    status: 404,
    code: "unknown_application",
    field: "path",
  },
  {
    name: "another version",
    path: "/v2/models/tiny/versions/9/infer",
    init: json(tensor()),
    status: 404,
    code: "unknown_application",
    field: "path",
    value: "9",
  },
  {
    name: "a path of broken percent signs",
    path: "/v1/infer/%E0%A4%A",
    init: image(),
    status: 404,
    code: "unknown_application",
    field: "path",
  },
  {
    name: "no key",
    path: INFER,
    init: withKey(),
    status: 401,
    code: "unauthenticated",
    field: "header Authorization",
    value: "none",
  },
  {
    name: "a key of another scheme",
    path: INFER,
    init: withKey("Basic abc"),
    status: 401,
    code: "unauthenticated",
    field: "header Authorization",
  },
  {
    name: "a malformed key",
    path: INFER,
    init: withKey("Bearer sk-123"),
    status: 401,
    code: "unauthenticated",
    field: "header Authorization",
    value: "... (6 characters)",
  },
  {
    name: "a mistyped key",
    path: INFER,
    init: () => withKey(`Bearer ${user.key.slice(0, -1)}!`)(),
    status: 401,
    code: "unauthenticated",
    field: "header Authorization",
  },
  {
    name: "a key in the query",
    path: `${INFER}?api_key=abc`,
    init: image(),
    status: 401,
    code: "unauthenticated",
    field: "query",
  },
  {
    name: "no key on the plan",
    path: PLAN,
    init: withKey(),
    status: 401,
    code: "unauthenticated",
    field: "header Authorization",
  },
  {
    name: "no key on a tensor",
    path: OIP,
    init: withKey(),
    status: 401,
    code: "unauthenticated",
    field: "header Authorization",
  },
  ...["soon", "NaN", "0", "-5", "1e9", "999999999", "", "0x10"].flatMap((value): Case[] => [
    {
      name: `deadline ${value}`,
      path: `${INFER}?deadline_ms=${value}`,
      init: image(),
      status: 400,
      code: "bad_deadline",
      field: "query deadline_ms",
      value,
    },
    {
      name: `deadline ${value} to plan for`,
      path: `${PLAN}?deadline_ms=${value}`,
      init: image(),
      status: 400,
      code: "bad_deadline",
      field: "query deadline_ms",
      value,
    },
  ]),
  {
    name: "a deadline header that cannot be read",
    path: INFER,
    init: withHeaders({ "dystri-deadline-ms": "x" }),
    status: 400,
    code: "bad_deadline",
    field: "header Dystri-Deadline-Ms",
  },
  {
    name: "a deadline parameter that cannot be read",
    path: OIP,
    init: json(tensor({}, { parameters: { deadline_ms: -1 } })),
    status: 400,
    code: "bad_deadline",
    field: "parameters.deadline_ms",
    value: "-1",
  },
  {
    name: "a wish that cannot be granted",
    path: `${INFER}?tier=cloud`,
    init: image(),
    status: 400,
    code: "bad_parameter",
    field: "query tier",
    value: "cloud",
  },
  {
    name: "an unknown parameter",
    path: `${INFER}?deadlin_ms=80`,
    init: image(),
    status: 400,
    code: "bad_parameter",
    field: "query deadlin_ms",
  },
  { name: "an empty body", path: INFER, init: bytes(() => ""), status: 400, code: "empty_body", field: "body" },
  {
    name: "no body",
    path: INFER,
    init: () => ({ method: "POST", headers: bearer(user.key) }),
    status: 400,
    code: "empty_body",
    field: "body",
  },
  {
    name: "a truncated image",
    path: INFER,
    init: bytes(() => picture.subarray(0, -20)),
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
  { name: "no tensor", path: OIP, init: json(""), status: 400, code: "empty_body", field: "body" },
  { name: "no JSON", path: OIP, init: json("{inputs:"), status: 400, code: "bad_json", field: "body" },
  {
    name: "JSON that is no object",
    path: OIP,
    init: json("[1]"),
    status: 400,
    code: "bad_json",
    field: "body",
    value: "[1]",
  },
  {
    name: "JSON over its limit",
    path: OIP,
    init: json(`{"a":"${"x".repeat(MAX_JSON_BYTES)}"}`),
    status: 413,
    code: "too_large",
    field: "body",
  },
  { name: "no inputs", path: OIP, init: json("{}"), status: 400, code: "bad_request", field: "inputs" },
  {
    name: "two inputs",
    path: OIP,
    init: json('{"inputs":[{},{}]}'),
    status: 400,
    code: "bad_request",
    field: "inputs",
    value: "2 inputs",
  },
  {
    name: "an input of another name",
    path: OIP,
    init: json(tensor({ name: "x" })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].name",
    value: "x",
  },
  {
    name: "another datatype",
    path: OIP,
    init: json(tensor({ datatype: "FP32" })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].datatype",
    value: '"FP32"',
  },
  {
    name: "a datatype that is no text",
    path: OIP,
    init: json(tensor({ datatype: null })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].datatype",
  },
  {
    name: "another shape",
    path: OIP,
    init: json(tensor({ shape: [1, 1, 8, 9] })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].shape",
    value: "[1,8,9]",
  },
  {
    name: "a batch of two",
    path: OIP,
    init: json(tensor({ shape: [2, 1, 8, 8] })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].shape",
    value: "[2,1,8,8]",
  },
  {
    name: "a shape that is no array",
    path: OIP,
    init: json(tensor({ shape: "8x8" })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].shape",
  },
  {
    name: "too few values",
    path: OIP,
    init: json(tensor({ data: [1, 2, 3] })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].data",
    value: "3 values",
  },
  {
    name: "too many values",
    path: OIP,
    init: json(tensor({ data: new Array(65).fill(1) })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].data",
  },
  {
    name: "a value out of range",
    path: OIP,
    init: json(tensor({ data: new Array(64).fill(256) })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].data",
    value: "256",
  },
  {
    name: "a value that is no number",
    path: OIP,
    init: json(tensor({ data: new Array(64).fill("7") })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].data",
    value: "7",
  },
  {
    name: "no data",
    path: OIP,
    init: json(tensor({ data: null })),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].data",
    value: "null",
  },
  {
    name: "data nested without end",
    path: OIP,
    init: json(
      `{"inputs":[{"name":"image","datatype":"UINT8","shape":[1,8,8],"data":${"[".repeat(400_000)}${"]".repeat(400_000)}}]}`,
    ),
    status: 400,
    code: "bad_tensor",
    field: "inputs[0].data",
  },
  {
    name: "an unknown output",
    path: OIP,
    init: json(tensor({}, { outputs: [{ name: "logits" }] })),
    status: 400,
    code: "bad_parameter",
    field: "outputs[0].name",
    value: "logits",
  },
  {
    name: "outputs that are no array",
    path: OIP,
    init: json(tensor({}, { outputs: "label" })),
    status: 400,
    code: "bad_request",
    field: "outputs",
  },
  {
    name: "classes of a label",
    path: OIP,
    init: json(tensor({}, { outputs: [{ name: "label", parameters: { classification: 2 } }] })),
    status: 400,
    code: "bad_parameter",
    field: "outputs[0].parameters.classification",
  },
  {
    name: "an id that is no text",
    path: OIP,
    init: json(tensor({}, { id: 7 })),
    status: 400,
    code: "bad_request",
    field: "id",
    value: "7",
  },
  {
    name: "nested parameters",
    path: OIP,
    init: json(tensor({}, { parameters: { qos: { deadline_ms: 80 } } })),
    status: 400,
    code: "bad_parameter",
    field: "parameters.qos",
  },
  {
    name: "a sequence",
    path: OIP,
    init: json(tensor({}, { parameters: { sequence_id: 7 } })),
    status: 501,
    code: "not_implemented",
    field: "parameters.sequence_id",
  },
  ...["227x", "-1", "9999999", "x"].map((value): Case => ({
    name: `a JSON length of ${value}`,
    path: OIP,
    init: json(tensor(), { "inference-header-content-length": value }),
    status: 400,
    code: "bad_request",
    field: "header Inference-Header-Content-Length",
    value,
  })),
  {
    name: "a raw tensor of another size",
    path: OIP,
    init: json("abc", { "inference-header-content-length": "0" }),
    status: 400,
    code: "bad_tensor",
    field: "body.bytes",
    value: "3",
  },
  {
    name: "another method",
    path: INFER,
    init: () => ({ headers: bearer(user.key) }),
    status: 405,
    code: "method_not_allowed",
    field: "method",
    value: "GET",
  },
  {
    name: "another method on metadata",
    path: "/v2/models/tiny",
    init: () => ({ method: "DELETE" }),
    status: 405,
    code: "method_not_allowed",
    field: "method",
    value: "DELETE",
  },
  {
    name: "another method on health",
    path: "/v2/health/live",
    init: () => ({ method: "PUT" }),
    status: 405,
    code: "method_not_allowed",
    field: "method",
    value: "PUT",
  },
  {
    name: "an unknown address",
    path: "/v1/nothing",
    init: () => ({}),
    status: 404,
    code: "not_found",
    field: "path",
    value: "/v1/nothing",
  },
  {
    name: "the operator's address without a token",
    path: "/v1/users",
    init: () => ({ method: "POST" }),
    status: 401,
    code: "unauthenticated",
    field: "header Authorization",
  },
  {
    name: "the operator's address with a user's key",
    path: "/v1/users",
    init: () => ({ method: "POST", headers: bearer(user.key) }),
    status: 403,
    code: "forbidden",
    field: "header Authorization",
  },
  {
    name: "the nodes' administration without a token",
    path: "/v1/nodes",
    init: () => ({}),
    status: 401,
    code: "unauthenticated",
    field: "header Authorization",
  },
];

describe("bad input", () => {
  it.each(CASES)("$name → $status $code", async ({ path, init, status, code, field, value }) => {
    const response = await call(path, init());
    const problem = await problemOf(response);
    expect(problem, JSON.stringify(problem)).toMatchObject({
      status,
      code,
      field,
      ...(value === undefined ? {} : { value }),
    });
    expect(response.status).toBe(status);
    expect(problem.value).toBeTypeOf("string");
    expect(problem.hint?.length).toBeGreaterThan(5);
    expect(problem.detail).toBe(problem.error);
    expect(problem.instance).toBe(`/requests/${response.headers.get("x-request-id")}`);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(response.headers.get("content-type")).toBe(
      path.startsWith("/v2") ? "application/json" : "application/problem+json",
    );
    if (status === 405) expect(response.headers.get("allow")).toBeTruthy();
    expect(JSON.stringify(problem)).not.toContain(user.key);
  });

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
      headers: { ...bearer(user.key), "content-type": "image/png" },
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
      headers: { ...bearer(user.key), "content-encoding": "gzip" },
      body,
    });
    expect(response.status).toBe(413);
  });
});

describe("keys", () => {
  it("that are unknown, wrong or revoked get the identical answer", async () => {
    const revoked = await newUser();
    const other = await newUser();
    expect((await admin("/v1/users/keys/revoke", { key: revoked.key })).status).toBe(200);
    const { unknownHandle, wrongMac, wrongSecret } = await mixKeys(user.key, other.key);
    const answers = await Promise.all(
      [revoked.key, unknownHandle, wrongMac, wrongSecret].map(async (key) => {
        const response = await call(PLAN, { method: "POST", headers: { ...bearer(key), "x-request-id": "same" } });
        return { status: response.status, headers: [...response.headers], body: await response.text() };
      }),
    );
    expect(answers[0]?.status).toBe(401);
    expect(Object.fromEntries(answers[0]?.headers ?? [])).toHaveProperty("www-authenticate");
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
    expect(answers[3]).toEqual(answers[0]);
    // A wrong MAC is found without asking any controller; the rest only a controller can tell.
    await expect(identify(env as ApiEnv, wrongMac)).rejects.toMatchObject({ code: "unauthenticated" });
    await expect(identify(env as ApiEnv, wrongSecret)).resolves.toMatchObject({ handle: user.user });
  });

  it("are taken from Authorization or X-API-Key", async () => {
    expect((await call(PLAN, { method: "POST", headers: bearer(user.key) })).status).toBe(200);
    expect((await call(PLAN, { method: "POST", headers: { "x-api-key": user.key } })).status).toBe(200);
  });

  it("stop working when they are revoked, also where they were remembered", async () => {
    const leaving = await newUser();
    const plan = () => call(PLAN, { method: "POST", headers: bearer(leaving.key) });
    expect((await plan()).status).toBe(200);
    expect((await admin("/v1/users/keys/revoke", { user: leaving.user, key_id: leaving.key_id })).status).toBe(200);
    expect((await plan()).status).toBe(401);
    const again = await admin("/v1/users/keys/revoke", { user: leaving.user, key_id: "key_nothing" });
    expect((await problemOf(again)).code).toBe("not_found");
  });

  it("are revoked by what names one only", async () => {
    for (const body of [{}, { key: 7 }, { key: "dk_test_x" }, { user: "../x", key_id: "key_1" }]) {
      expect((await admin("/v1/users/keys/revoke", body)).status).toBe(400);
    }
  });
});

describe("what is asked for and given", () => {
  it("lists the applications", async () => {
    const { applications } = await (await call("/v1/applications")).json<{ applications: Record<string, unknown>[] }>();
    expect(applications).toMatchObject([
      { name: "tiny", platform: "vision", accepts: ["image/png", "image/jpeg"], deadline_ms: { default: 200 } },
    ]);
    expect(applications[0]?.["rungs"]).toHaveLength(3);
  });

  it("describes server and models", async () => {
    for (const path of ["/v2", "/v2/"]) {
      expect(await (await call(path)).json()).toMatchObject({
        name: "dystri",
        extensions: expect.arrayContaining(["classification"]) as string[],
      });
    }
    expect(await (await call("/v2/models")).json()).toEqual({ models: ["tiny"] });
    for (const path of ["/v2/models/tiny", "/v2/models/tiny/versions/1.0.0"]) {
      expect(await (await call(path)).json()).toMatchObject({
        name: "tiny",
        inputs: [{ name: "image", datatype: "UINT8", shape: [1, 1, 8, 8] }],
        outputs: [
          { name: "probabilities", shape: [1, 3] },
          { name: "label", datatype: "BYTES" },
        ],
      });
    }
  });

  it("is alive, and ready only with a warm inference Worker, of which there is none here", async () => {
    expect(await (await call("/v2/health/live")).json()).toEqual({ live: true, ready: true });
    for (const path of ["/v2/health/ready", "/v2/models/tiny/ready"]) {
      const response = await call(path);
      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).toBe("1");
      expect(await response.json()).toMatchObject({
        code: "not_ready",
        ready: false,
        field: "platform",
        value: "vision",
      });
    }
  });

  it("plans without computing", async () => {
    const response = await call(`${PLAN}?deadline_ms=80`, { method: "POST", headers: bearer(user.key) });
    expect(response.status).toBe(200);
    expect(response.headers.get("dystri-deadline-ms")).toBe("80");
    const plan = await response.json<{
      options: { tier: string; rung: string; predicted_ms: number }[];
      first: number;
      thresholds: unknown[];
    }>();
    expect(plan).toMatchObject({ application: "tiny", deadline_ms: 80 });
    expect(plan.options[plan.first]).toMatchObject({ tier: "edge" });
    for (const option of plan.options) expect(option.predicted_ms).toBeGreaterThan(0);
    expect(plan.thresholds.length).toBeGreaterThan(0);
  });

  it("keeps a request id that is one, and makes one otherwise", async () => {
    const idOf = async (given?: string) =>
      (await call("/v2", given === undefined ? {} : { headers: { "x-request-id": given } })).headers.get(
        "x-request-id",
      );
    expect(await idOf("abc_1-2")).toBe("abc_1-2");
    for (const given of [undefined, "a b", "x".repeat(129), "<script>"])
      expect(await idOf(given)).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("lets browsers call and read what they need", async () => {
    const preflight = await call(INFER, {
      method: "OPTIONS",
      headers: {
        origin: "https://a.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, dystri-deadline-ms",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization, dystri-deadline-ms");
    const refused = await call(INFER, { method: "POST", headers: { origin: "https://a.example" } });
    expect(refused.headers.get("access-control-allow-origin")).toBe("*");
    expect(refused.headers.get("access-control-expose-headers")).toContain("Inference-Header-Content-Length");
    expect((await call(INFER, { method: "POST" })).headers.get("access-control-allow-origin")).toBeNull();
  });

  it("shows a key once, and no secret of it later", async () => {
    const response = await admin("/v1/users", { label: "laptop" });
    const made = await response.json<NewUser & { label: string }>();
    expect(response.status).toBe(201);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(made.label).toBe("laptop");
    expect(made.key).toContain(made.user);
    expect((await admin("/v1/users", { label: 7 })).status).toBe(400);
  });
});
