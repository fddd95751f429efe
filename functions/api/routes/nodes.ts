/**
 * Nodes: enrolment, connect and administration. Two sub-apps: `nodeRoutes` is what an agent calls, with credentials
 * of its own; `nodeAdminRoutes` is for operators and must be mounted behind the administrator's token.
 */
import { Hono } from "hono";
import { crc32, digestBase62, randomBase62, sha256Hex } from "../../../protocol/encoding.ts";
import { DystriError, ERRORS, quote, type ErrorCode } from "../../../protocol/errors.ts";
import { checked, integer, list, object, text, type Check } from "../../../protocol/field-checks.ts";
import type { NodeEntry } from "../../../protocol/fleet.ts";
import { CERTIFICATE_HEADER, CONNECT_HEADERS, CONNECT_PATH, TOKEN_HEADER } from "../../../protocol/node-connect.ts";
import {
  importPublicKey,
  importSigningKey,
  issueCertificate,
  MAX_NODE_TAGS,
  NODE_NAME,
  NODE_TAG,
  verifyConnect,
} from "../../../protocol/node-credentials.ts";
import { clockOf } from "../../clock.ts";
import { coordinator, nodeGateway } from "../../stubs.ts";

type Environment = { Bindings: ApiEnv };

const MAX_BODY_BYTES = 8 * 1024;
const DEFAULT_ENROLMENT_S = 3600;
const MAX_ENROLMENT_S = 30 * 24 * 3600;
const CERTIFICATE_LIFE_MS = 365 * 24 * 3600 * 1000;
const ENROLMENT_TOKEN = /^dne_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/;

type EnrolmentRequest = { node?: string; tags?: string[]; expires_in_s?: number };
const ENROLMENT_FIELDS: { [K in keyof EnrolmentRequest]-?: Check<NonNullable<EnrolmentRequest[K]>> } = {
  node: text(48, NODE_NAME),
  tags: list(text(63, NODE_TAG), MAX_NODE_TAGS),
  expires_in_s: integer(1, MAX_ENROLMENT_S),
};
type EnrollRequest = { token: string; public_key: string };
const enrollRequest = object<EnrollRequest>({ token: text(128), public_key: text(64) });

/** For operators. The caller mounts it behind the administrator's token. */
export const nodeAdminRoutes = new Hono<Environment>()
  .post("/enrolments", async (c) => {
    const request = await bodyOf(c.req.raw, enrolmentRequest);
    const node = request.node ?? `node-${randomBase62(8).toLowerCase()}`;
    const expiresInMs = (request.expires_in_s ?? DEFAULT_ENROLMENT_S) * 1000;
    const now = clockOf(c.env).arrive();
    const token = newEnrolmentToken();
    const enrolment = { digest: await sha256Hex(token), node, tags: request.tags ?? [], expiresInMs };
    await coordinator(c.env).mintEnrolment(enrolment);
    return c.json({ token, node, expires_at: new Date(now + expiresInMs).toISOString() }, 201);
  })
  .get("/", async (c) => {
    const nodes = await coordinator(c.env).nodes();
    return c.json({ nodes: nodes.map(described) });
  })
  .delete("/:node", async (c) => {
    const node = c.req.param("node");
    if (!NODE_NAME.test(node)) throw badName(node);
    // The gateway first: once it returns, none of its reports can bring the node back.
    await nodeGateway(c.env, node).revoke();
    if (!(await coordinator(c.env).removeNode(node))) {
      throw new DystriError("not_found", `there is no node ${node}`, {
        field: "node",
        value: quote(node),
        hint: "GET /v1/nodes lists them",
      });
    }
    return c.body(null, 204);
  });

/** For agents: no key, but a one-off token (enroll) or a certificate and a signed token (connect). */
export const nodeRoutes = new Hono<Environment>()
  .post("/enroll", async (c) => {
    const { token, public_key } = await bodyOf(c.req.raw, enrollRequest);
    if (!isEnrolmentToken(token)) {
      throw new DystriError("unauthenticated", "this is not an enrolment token", {
        field: "token",
        hint: "copy the whole dne_… token",
      });
    }
    if (!(await importPublicKey(public_key))) {
      throw new DystriError("bad_parameter", "public_key is not an Ed25519 public key", {
        field: "public_key",
        value: quote(public_key),
        hint: "send the 32 raw bytes in base64url",
      });
    }
    // Whatever can fail has to fail before the token is spent.
    const { sign } = await importSigningKey(c.env.DYSTRI_NODE_SIGNING_KEY);
    const redeemed = await coordinator(c.env).redeemEnrolment(await sha256Hex(token));
    if (!redeemed.ok) {
      const hint = "ask an operator for a new one: each token enrols one node, once, before it expires";
      throw new DystriError("unauthenticated", "the enrolment token is not valid", { field: "token", hint });
    }
    const { node, tags } = redeemed;
    const issuedAt = clockOf(c.env).arrive();
    const certificate = await issueCertificate(
      { node, publicKey: public_key, tags, issuedAt, lifeMs: CERTIFICATE_LIFE_MS },
      sign,
    );
    return c.json({ certificate, node, gateway: CONNECT_PATH }, 201);
  })
  .get("/connect", async (c) => {
    if (c.req.header("Upgrade")?.toLowerCase() !== "websocket") {
      throw new DystriError("upgrade_required", "a node connects by WebSocket", {
        field: "Upgrade",
        hint: "send Upgrade: websocket",
      });
    }
    const certificate = headerOf(c.req.raw, CERTIFICATE_HEADER);
    const token = headerOf(c.req.raw, TOKEN_HEADER);
    const { verify } = await importSigningKey(c.env.DYSTRI_NODE_SIGNING_KEY);
    const verified = await verifyConnect(certificate, token, verify, clockOf(c.env).arrive());
    if (!verified.ok) {
      const field = verified.error.credential === "certificate" ? CERTIFICATE_HEADER : TOKEN_HEADER;
      const hint =
        verified.error.credential === "certificate" ? "enrol the node again" : "check the node's clock and key";
      throw new DystriError("unauthenticated", verified.error.message, { field, hint });
    }
    const { connect, certificate: claims } = verified.identity;
    // Headers of our own making only: what the client sent under these names never reaches the gateway.
    const headers = new Headers({ Upgrade: "websocket" });
    headers.set(CONNECT_HEADERS.node, claims.node);
    headers.set(CONNECT_HEADERS.jti, connect.jti);
    headers.set(CONNECT_HEADERS.tokenExpiresAt, String(connect.expiresAt));
    headers.set(CONNECT_HEADERS.certificateIssuedAt, String(claims.issuedAt));
    const response = await nodeGateway(c.env, claims.node).fetch(new Request("https://gateway/connect", { headers }));
    if (response.status !== 101) throw await refusalOf(response);
    return response;
  });

/** `dne_`, 43 random base62 characters (256 bits), and a checksum that tells a typing mistake before anybody is asked. */
function newEnrolmentToken(): string {
  const secret = randomBase62(43);
  return `dne_${secret}${checksum(secret)}`;
}

function isEnrolmentToken(token: string): boolean {
  const match = ENROLMENT_TOKEN.exec(token);
  return match !== null && checksum(match[1] as string) === match[2];
}

function checksum(secret: string): string {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, crc32(secret));
  return digestBase62(bytes, 6);
}

/** Every field may be absent; those present must be right, and there may be no others. */
const enrolmentRequest: Check<EnrolmentRequest> = (value, field) => {
  const present = Object.entries(ENROLMENT_FIELDS).filter(
    ([name]) => typeof value === "object" && value !== null && Object.hasOwn(value, name),
  );
  return object<EnrolmentRequest>(Object.fromEntries(present) as typeof ENROLMENT_FIELDS)(value, field);
};

/** A small JSON body, checked; throws a DystriError that names the field. An absent body is an empty object. */
async function bodyOf<T>(request: Request, check: Check<T>): Promise<T> {
  const body = await limitedText(request);
  let json: unknown = {};
  try {
    if (body.trim()) json = JSON.parse(body);
  } catch {
    throw new DystriError("bad_json", "the body is not JSON", {
      field: "body",
      value: quote(body),
      hint: "send a JSON object",
    });
  }
  const result = checked(check, json);
  if (result.ok) return result.value;
  const value = typeof json === "object" && json !== null ? (json as Record<string, unknown>)[result.field] : json;
  throw new DystriError("bad_parameter", result.message, {
    field: result.field || "body",
    ...(value === undefined || result.field === "token" ? {} : { value: quote(value) }),
    hint: "see the API description for the fields of this request",
  });
}

/** Reads no more than the limit, whatever Content-Length says. */
async function limitedText(request: Request): Promise<string> {
  if (!request.body) return "";
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of request.body as ReadableStream<Uint8Array>) {
    if ((size += part.length) > MAX_BODY_BYTES) {
      throw new DystriError("too_large", `the body is larger than ${MAX_BODY_BYTES} bytes`, {
        field: "body",
        hint: "send only the fields of this request",
      });
    }
    parts.push(part);
  }
  return new Blob(parts).text();
}

function headerOf(request: Request, name: string): string {
  const value = request.headers.get(name);
  if (value) return value;
  throw new DystriError("unauthenticated", `the header ${name} is missing`, {
    field: name,
    hint: "nodes connect with the agent, see docs",
  });
}

/** What a gateway answered instead of accepting the socket. */
async function refusalOf(response: Response): Promise<DystriError> {
  const { code, detail } = await response.json<{ code?: string; detail?: string }>();
  const known = code !== undefined && Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : "internal";
  const hint = known === "forbidden" ? "enrol the node again" : "connect again with a new token";
  return new DystriError(known, detail ?? "the gateway refused the connection", { field: TOKEN_HEADER, hint });
}

function badName(node: string): DystriError {
  return new DystriError("bad_parameter", "this is no name of a node", {
    field: "node",
    value: quote(node),
    hint: "lower-case letters, digits and hyphens, at most 48",
  });
}

function described({ node, state, registration, load }: NodeEntry) {
  const { agentVersion, provider, device, concurrency, applications } = registration;
  return {
    node,
    state,
    agent_version: agentVersion,
    provider,
    device,
    concurrency,
    applications,
    load,
    age_ms: load.ageMs,
  };
}
