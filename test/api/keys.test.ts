/** Who is let in: keys that are missing, malformed, unknown or revoked, and tokens that are not the operator's. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it } from "vitest";
import { identify } from "../../functions/api/auth.ts";
import { expectRefusal, image, newCaller, type BadInput, type Caller } from "./bad-input-fixture.ts";
import { admin, bearer, call, INFER, newUser, OIP, PLAN, problemOf } from "./client.ts";
import { mixKeys } from "./keys.ts";

let caller: Caller;
beforeAll(async () => {
  caller = await newCaller();
});

const withKey =
  (authorization?: string) =>
  ({ picture }: Caller): RequestInit => ({
    method: "POST",
    headers: authorization === undefined ? {} : { authorization },
    body: picture,
  });

const CASES: BadInput[] = [
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
    init: (caller) => withKey(`Bearer ${caller.key.slice(0, -1)}!`)(caller),
    status: 401,
    code: "unauthenticated",
    field: "header Authorization",
  },
  {
    name: "a key in the query",
    path: `${INFER}?api_key=abc`,
    init: image,
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
    init: ({ key }) => ({ method: "POST", headers: bearer(key) }),
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
  it.each(CASES)("$name → $status $code", (input) => expectRefusal(caller, input));
});

describe("keys", () => {
  it("that are unknown, wrong or revoked get the identical answer", async () => {
    const revoked = await newUser();
    const other = await newUser();
    expect((await admin("/v1/users/keys/revoke", { key: revoked.key })).status).toBe(200);
    const { unknownHandle, wrongMac, wrongSecret } = await mixKeys(caller.key, other.key);
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
    await expect(identify(env as ApiEnv, wrongSecret)).resolves.toMatchObject({ handle: caller.user });
  });

  it("are taken from Authorization or X-API-Key", async () => {
    expect((await call(PLAN, { method: "POST", headers: bearer(caller.key) })).status).toBe(200);
    expect((await call(PLAN, { method: "POST", headers: { "x-api-key": caller.key } })).status).toBe(200);
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
