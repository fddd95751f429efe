/** The routes that agents and operators call, with real credentials, coordinator and gateway. */
import { exports } from "cloudflare:workers";
import { expect, test } from "vitest";
import { CERTIFICATE_HEADER, CONNECT_HEADERS, TOKEN_HEADER } from "../../protocol/node-connect.ts";
import {
  generateKeyPair,
  generateSigningKey,
  importPrivateKey,
  importSigningKey,
  issueCertificate,
  issueConnectToken,
} from "../../protocol/node-credentials.ts";
import { Agent, gateway, newNode, registration } from "./agent.ts";

type Problem = { code: string; detail: string; field?: string; value?: string; hint?: string };

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  exports.default.fetch(
    new Request(`https://api/v1/nodes${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    }),
  );

async function mint(node: string, more: object = {}): Promise<string> {
  const response = await call("POST", "/enrolments", { node, ...more });
  expect(response.status).toBe(201);
  return (await response.json<{ token: string }>()).token;
}

type Identity = { certificate: string; key: Awaited<ReturnType<typeof importPrivateKey>> };

async function enrolled(node: string): Promise<Identity> {
  const { privateKey, publicKey } = await generateKeyPair();
  const response = await call("POST", "/enroll", { token: await mint(node), public_key: publicKey });
  expect(response.status).toBe(201);
  const { certificate } = await response.json<{ certificate: string }>();
  return { certificate, key: await importPrivateKey(privateKey) };
}

async function connect(
  node: string,
  { certificate, key }: Identity,
  more: Record<string, string> = {},
): Promise<Response> {
  const token = await issueConnectToken(node, certificate, key, Date.now());
  return call("GET", "/connect", undefined, {
    Upgrade: "websocket",
    [CERTIFICATE_HEADER]: certificate,
    [TOKEN_HEADER]: token,
    ...more,
  });
}

test("enrol, connect, be listed, be revoked, enrol anew", async () => {
  const node = newNode();
  const identity = await enrolled(node);
  const response = await connect(node, identity);
  expect(response.status).toBe(101);
  const agent = new Agent(node, response.webSocket as WebSocket);
  agent.send("hello", 0, { registration, busyMs: 0 });
  expect((await agent.expect("welcome")).header).toMatchObject({ node, epoch: 1 });

  type Listed = { nodes: { node: string; state: string; age_ms: number; applications: object }[] };
  let listed: Listed["nodes"][number] | undefined;
  for (let i = 0; i < 500 && listed?.state !== "online"; i++) {
    listed = (await (await call("GET", "")).json<Listed>()).nodes.find((entry) => entry.node === node);
  }
  expect(listed).toMatchObject({ state: "online", concurrency: 1, applications: registration.applications });

  expect((await call("DELETE", `/${node}`)).status).toBe(204);
  expect(await agent.closed).toMatchObject({ code: 4003 });
  const { nodes } = await (await call("GET", "")).json<Listed>();
  expect(nodes.some((entry) => entry.node === node)).toBe(false);
  const refused = await connect(node, identity);
  expect(refused.status).toBe(403);
  expect(await refused.json()).toMatchObject({ code: "forbidden", hint: "enrol the node again" });
  expect((await connect(node, await enrolled(node))).status).toBe(101);
});

test("an enrolment token works once and only whole", async () => {
  const token = await mint(newNode());
  const { publicKey } = await generateKeyPair();
  expect((await call("POST", "/enroll", { token: `${token.slice(0, -1)}~`, public_key: publicKey })).status).toBe(401);
  expect((await call("POST", "/enroll", { token, public_key: "short" })).status).toBe(400);
  expect((await call("POST", "/enroll", { token, public_key: publicKey })).status).toBe(201);
  const again = await call("POST", "/enroll", { token, public_key: publicKey });
  expect(again.status).toBe(401);
  expect(await again.text()).not.toContain(token);
});

test.each<[string, string, unknown, number, Partial<Problem>]>([
  ["/enrolments", "a bad name", { node: "Not A Name" }, 400, { code: "bad_parameter", field: "node" }],
  ["/enrolments", "an unknown field", { nod: "n1" }, 400, { code: "bad_parameter", field: "nod" }],
  ["/enrolments", "a bad tag", { tags: ["ok", "not ok"] }, 400, { code: "bad_parameter", field: "tags[1]" }],
  ["/enrolments", "an absurd life", { expires_in_s: 1e9 }, 400, { code: "bad_parameter", field: "expires_in_s" }],
  ["/enrolments", "no JSON", "{", 400, { code: "bad_json", field: "body" }],
  ["/enrolments", "a list", [], 400, { code: "bad_parameter", field: "body" }],
  ["/enrolments", "a huge body", `{"node":"${"a".repeat(10_000)}"}`, 413, { code: "too_large", field: "body" }],
  ["/enroll", "nothing", undefined, 400, { code: "bad_parameter", field: "token" }],
  ["/enroll", "no token at all", { token: "hello", public_key: "x" }, 401, { code: "unauthenticated", field: "token" }],
])("POST %s with %s names what is wrong", async (path, _, body, status, problem) => {
  const response = await call("POST", path, body);
  expect(response.status).toBe(status);
  const said = await response.json<Problem>();
  expect(said).toMatchObject(problem);
  expect(said.hint).toBeTruthy();
});

test("connect without an upgrade, without credentials, or with those of another service", async () => {
  const node = newNode();
  const identity = await enrolled(node);
  expect((await call("GET", "/connect")).status).toBe(426);
  const bare = await call("GET", "/connect", undefined, { Upgrade: "websocket" });
  expect([bare.status, (await bare.json<Problem>()).field]).toEqual([401, CERTIFICATE_HEADER]);
  const { sign } = await importSigningKey(await generateSigningKey());
  const { publicKey, privateKey } = await generateKeyPair();
  const certificate = await issueCertificate({ node, publicKey, tags: [], issuedAt: Date.now(), lifeMs: 60_000 }, sign);
  const stranger = await connect(node, { certificate, key: await importPrivateKey(privateKey) });
  expect([stranger.status, (await stranger.json<Problem>()).field]).toEqual([401, CERTIFICATE_HEADER]);
  const thief = await connect(node, { ...identity, key: await importPrivateKey(privateKey) });
  expect([thief.status, (await thief.json<Problem>()).field]).toEqual([401, TOKEN_HEADER]);
  expect(await gateway(node).status()).toMatchObject({ epoch: 0 });
});

test("headers of the inner upgrade that a client sends itself never reach a gateway", async () => {
  const [node, other] = [newNode(), newNode()];
  const identity = await enrolled(node);
  const response = await connect(node, identity, {
    [CONNECT_HEADERS.node]: other,
    [CONNECT_HEADERS.certificateIssuedAt]: "9e15",
  });
  expect(response.status).toBe(101);
  const agent = new Agent(node, response.webSocket as WebSocket);
  agent.send("hello", 0, { registration, busyMs: 0 });
  expect((await agent.expect("welcome")).header.node).toBe(node);
  expect(await gateway(other).status()).toMatchObject({ epoch: 0 });
  expect(await gateway(node).status()).toMatchObject({ epoch: 1, node });
});

test("deleting a node that never was is a 404", async () => {
  expect((await call("DELETE", `/${newNode()}`)).status).toBe(404);
  expect((await call("DELETE", "/Not%20A%20Name")).status).toBe(400);
});
