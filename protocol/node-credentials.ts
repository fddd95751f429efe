/**
 * How a node proves who it is. At enrolment the service signs a certificate over the node's name, public key and
 * tags. At each connect the node signs a token, at most a minute long and bound to that certificate. Verification
 * needs the service's public key and the time, no state; replay and revocation are the gateway's business.
 *
 * Form of both: `<prefix><claims>.<signature>`, base64url; the claims are JSON. What is signed begins with the
 * credential's purpose, so that neither can be passed off as the other. Ed25519 throughout (RFC 8032).
 */
import { fromBase64Url, toBase64Url } from "./encoding.ts";
import type { Check } from "./field-checks.ts";
import { checked, integer, list, number, object, text } from "./field-checks.ts";

export type CertificateClaims = {
  v: number;
  node: string;
  /** The node's Ed25519 public key, 32 bytes in base64url. */
  publicKey: string;
  tags: string[];
  /** Milliseconds since 1970. */
  issuedAt: number;
  expiresAt: number;
};

export type ConnectClaims = {
  v: number;
  jti: string;
  node: string;
  /** SHA-256 of the certificate's text, base64url. */
  certificate: string;
  issuedAt: number;
  expiresAt: number;
};

export type CredentialError = {
  credential: "certificate" | "token";
  reason:
    "malformed" | "bad_signature" | "expired" | "not_yet_valid" | "too_long_lived" | "other_certificate" | "other_node";
  message: string;
};

export type Verified<T> = { ok: true; claims: T } | { ok: false; error: CredentialError };

export type NodeIdentity = { certificate: CertificateClaims; connect: ConnectClaims };

/** A CryptoKey, by the name both type libraries can give it. */
export type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

export const CONNECT_TOKEN_LIFE_MS = 60_000;
/** How far a node's clock may be off. */
export const CLOCK_SKEW_MS = 30_000;
/** Names of nodes: they become part of object names and of log lines. */
export const NODE_NAME = /^[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?$/;
export const NODE_TAG = /^[a-z0-9][a-z0-9:._-]{0,62}$/;
export const MAX_NODE_TAGS = 16;

const VERSION = 1;
const ALGORITHM = "Ed25519";
const MAX_CREDENTIAL_LENGTH = 4096;
const CERTIFICATE = { credential: "certificate", prefix: "dnc_", purpose: "dystri node certificate 1\n" } as const;
const TOKEN = { credential: "token", prefix: "dnt_", purpose: "dystri node connect 1\n" } as const;
type Form = typeof CERTIFICATE | typeof TOKEN;

const instant = number(0, Number.MAX_SAFE_INTEGER);
const certificateClaims = object<CertificateClaims>({
  v: integer(VERSION, VERSION),
  node: text(48, NODE_NAME),
  publicKey: text(43, /^[\w-]{43}$/),
  tags: list(text(63, NODE_TAG), MAX_NODE_TAGS),
  issuedAt: instant,
  expiresAt: instant,
});
const connectClaims = object<ConnectClaims>({
  v: integer(VERSION, VERSION),
  jti: text(64, /^[\w-]{16,64}$/),
  node: text(48, NODE_NAME),
  certificate: text(43, /^[\w-]{43}$/),
  issuedAt: instant,
  expiresAt: instant,
});

/** A key pair as text: PKCS8 and raw public key, base64url. For a node's own key and for the service's signing key. */
export async function generateKeyPair(): Promise<{ privateKey: string; publicKey: string }> {
  const pair = (await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as {
    privateKey: Key;
    publicKey: Key;
  };
  const pkcs8 = (await crypto.subtle.exportKey("pkcs8", pair.privateKey)) as ArrayBuffer;
  const raw = (await crypto.subtle.exportKey("raw", pair.publicKey)) as ArrayBuffer;
  return { privateKey: toBase64Url(new Uint8Array(pkcs8)), publicKey: toBase64Url(new Uint8Array(raw)) };
}

/** A new value for DYSTRI_NODE_SIGNING_KEY. */
export async function generateSigningKey(): Promise<string> {
  return (await generateKeyPair()).privateKey;
}

/** Imports a private key; rejects with a plain sentence when the text is not one. */
export async function importPrivateKey(pkcs8: string, name = "the private key"): Promise<Key> {
  const bytes = fromBase64Url(pkcs8.trim());
  try {
    if (!bytes) throw new TypeError("not base64url");
    return await crypto.subtle.importKey("pkcs8", bytes, ALGORITHM, true, ["sign"]);
  } catch (cause) {
    throw new Error(`${name} is not an Ed25519 key in PKCS8, base64url`, { cause });
  }
}

/** Null when the text is not a raw Ed25519 public key of 32 bytes in base64url. */
export async function importPublicKey(raw: string): Promise<Key | null> {
  const bytes = fromBase64Url(raw);
  if (bytes?.length !== 32) return null;
  try {
    return await crypto.subtle.importKey("raw", bytes, ALGORITHM, true, ["verify"]);
  } catch {
    return null;
  }
}

/** The service's pair from DYSTRI_NODE_SIGNING_KEY. The public half is part of the private key's JWK. */
export async function importSigningKey(pkcs8: string): Promise<{ sign: Key; verify: Key; publicKey: string }> {
  const sign = await importPrivateKey(pkcs8, "DYSTRI_NODE_SIGNING_KEY");
  const jwk = (await crypto.subtle.exportKey("jwk", sign)) as { x?: string };
  const publicKey = jwk.x ?? "";
  const verify = await importPublicKey(publicKey);
  if (!verify) throw new Error("DYSTRI_NODE_SIGNING_KEY has no public half");
  return { sign, verify, publicKey };
}

export type CertificateRequest = { node: string; publicKey: string; tags: string[]; issuedAt: number; lifeMs: number };

/** Signs a certificate. The caller has checked the name and the key. */
export function issueCertificate(request: CertificateRequest, sign: Key): Promise<string> {
  const { node, publicKey, tags, issuedAt, lifeMs } = request;
  const claims: CertificateClaims = { v: VERSION, node, publicKey, tags, issuedAt, expiresAt: issuedAt + lifeMs };
  return seal(CERTIFICATE, claims, sign);
}

/** Signs a connect token as the node named in `certificate`. */
export async function issueConnectToken(
  node: string,
  certificate: string,
  privateKey: Key,
  now: number,
): Promise<string> {
  const claims: ConnectClaims = {
    v: VERSION,
    jti: crypto.randomUUID(),
    node,
    certificate: await fingerprint(certificate),
    issuedAt: now,
    expiresAt: now + CONNECT_TOKEN_LIFE_MS,
  };
  return seal(TOKEN, claims, privateKey);
}

/** Is this a certificate of ours, valid at `now`? */
export async function verifyCertificate(
  certificate: string,
  service: Key,
  now: number,
): Promise<Verified<CertificateClaims>> {
  const opened = await open(CERTIFICATE, certificate, certificateClaims, () => Promise.resolve(service));
  if (!opened.ok) return opened;
  return inTime(CERTIFICATE, opened.claims, now) ?? opened;
}

/** Is the holder of this token the node its certificate names? Checks the certificate first. */
export async function verifyConnect(
  certificate: string,
  token: string,
  service: Key,
  now: number,
): Promise<{ ok: true; identity: NodeIdentity } | { ok: false; error: CredentialError }> {
  const certified = await verifyCertificate(certificate, service, now);
  if (!certified.ok) return certified;
  const opened = await open(TOKEN, token, connectClaims, () => importPublicKey(certified.claims.publicKey));
  if (!opened.ok) return opened;
  const { claims } = opened;
  if (claims.node !== certified.claims.node) return refuse(TOKEN, "other_node", "the token names another node");
  if (claims.certificate !== (await fingerprint(certificate))) {
    return refuse(TOKEN, "other_certificate", "the token was made for another certificate");
  }
  if (claims.expiresAt - claims.issuedAt > CONNECT_TOKEN_LIFE_MS) {
    return refuse(TOKEN, "too_long_lived", `the token lives longer than ${CONNECT_TOKEN_LIFE_MS / 1000} s`);
  }
  return inTime(TOKEN, claims, now) ?? { ok: true, identity: { certificate: certified.claims, connect: claims } };
}

const refuse = (
  form: Form,
  reason: CredentialError["reason"],
  message: string,
): { ok: false; error: CredentialError } => ({
  ok: false,
  error: { credential: form.credential, reason, message },
});

function inTime(
  form: Form,
  claims: { issuedAt: number; expiresAt: number },
  now: number,
): ReturnType<typeof refuse> | null {
  if (now >= claims.expiresAt)
    return refuse(form, "expired", `the ${form.credential} has expired; is the node's clock right?`);
  if (now < claims.issuedAt - CLOCK_SKEW_MS) {
    return refuse(form, "not_yet_valid", `the ${form.credential} is from the future; is the node's clock right?`);
  }
  return null;
}

async function fingerprint(certificate: string): Promise<string> {
  return toBase64Url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(certificate))));
}

async function seal(form: Form, claims: object, key: Key): Promise<string> {
  const body = toBase64Url(new TextEncoder().encode(JSON.stringify(claims)));
  const signature = await crypto.subtle.sign(ALGORITHM, key, new TextEncoder().encode(form.purpose + body));
  return `${form.prefix}${body}.${toBase64Url(new Uint8Array(signature))}`;
}

/** The signature is checked before the claims are read. */
async function open<T>(
  form: Form,
  credential: string,
  claims: Check<T>,
  keyOf: () => Promise<Key | null>,
): Promise<Verified<T>> {
  const malformed = (why: string) => refuse(form, "malformed", `the ${form.credential} is malformed: ${why}`);
  if (credential.length > MAX_CREDENTIAL_LENGTH) return malformed(`longer than ${MAX_CREDENTIAL_LENGTH} characters`);
  if (!credential.startsWith(form.prefix)) return malformed(`it does not begin with ${form.prefix}`);
  const [body, signatureText, ...rest] = credential.slice(form.prefix.length).split(".");
  const bytes = fromBase64Url(body ?? "");
  const signature = fromBase64Url(signatureText ?? "");
  if (!body || !bytes || signature?.length !== 64 || rest.length > 0)
    return malformed("it is not two parts of base64url");
  const key = await keyOf();
  if (!key) return malformed("its key cannot be used");
  if (!(await crypto.subtle.verify(ALGORITHM, key, signature, new TextEncoder().encode(form.purpose + body)))) {
    return refuse(form, "bad_signature", `the signature of the ${form.credential} is wrong`);
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return malformed("its claims are not JSON");
  }
  const result = checked(claims, json);
  return result.ok ? { ok: true, claims: result.value } : malformed(result.message);
}
