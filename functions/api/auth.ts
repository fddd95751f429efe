/** Who is asking: users by API key, the operator by the admin token. */
import { KeyMint, keyIdOf, parseApiKey, secretDigest } from "../../protocol/api-keys.ts";
import { DystriError } from "../../protocol/errors.ts";
import { invalidKey } from "./problem.ts";

export type KeyEnv = Pick<ApiEnv, "DYSTRI_ENV" | "DYSTRI_KEY_SECRET">;

/**
 * A key whose form, checksum and MAC are right. Whether its secret is the user's, and not revoked, is for the user's
 * controller to say, in the same round trip as the plan.
 */
export type Caller = { controller: string; secretDigest: string; keyId: string; handle: string };

/** Keys an isolate remembers: a hot key costs no cryptography. Each entry is about 300 bytes. */
const MAX_REMEMBERED = 2048;

const remembered = new Map<string, Caller>();
const mints = new Map<string, KeyMint>();

/** The mint of this deployment's environment, made once per isolate. Throws when the deployment's secret is unusable. */
export function keyMint(env: KeyEnv): KeyMint {
  const id = `${env.DYSTRI_ENV} ${env.DYSTRI_KEY_SECRET}`;
  let mint = mints.get(id);
  if (!mint) mints.set(id, (mint = new KeyMint(env.DYSTRI_ENV, env.DYSTRI_KEY_SECRET)));
  return mint;
}

/** The caller of a request. Throws DystriError unauthenticated, never quoting the key. */
export async function authenticate(env: KeyEnv, request: Request): Promise<Caller> {
  const key = credential(request);
  const known = remembered.get(key);
  if (known) {
    // Put at the end again: the first entry is the one longest unused.
    remembered.delete(key);
    remembered.set(key, known);
    return known;
  }
  const caller = await identify(env, key);
  if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value as string);
  remembered.set(key, caller);
  return caller;
}

/** The caller a key names. Throws DystriError unauthenticated: malformed keys get a hint, all others the one answer. */
export async function identify(env: KeyEnv, text: string): Promise<Caller> {
  const parsed = parseApiKey(text);
  if (!parsed.ok) throw malformedKey(text, parsed.reason);
  const mint = keyMint(env);
  if (!(await mint.vouches(parsed.key))) throw invalidKey();
  const { handle } = parsed.key;
  const digest = await secretDigest(parsed.key);
  return { controller: await mint.controllerName(handle), secretDigest: digest, keyId: keyIdOf(digest), handle };
}

/** Lets only the operator pass. Throws DystriError unauthenticated or forbidden. */
export async function requireAdmin(env: Pick<ApiEnv, "DYSTRI_ADMIN_TOKEN">, request: Request): Promise<void> {
  const given = bearer(request);
  if (given === null) {
    throw new DystriError("unauthenticated", "this address is for the operator and needs the admin token", {
      field: "header Authorization",
      value: "none",
      hint: "send Authorization: Bearer <admin token>",
    });
  }
  // Digests are of equal length, so that nothing is told by how long the comparison takes.
  const [a, b] = await Promise.all([sha256(given), sha256(env.DYSTRI_ADMIN_TOKEN)]);
  if (env.DYSTRI_ADMIN_TOKEN.length > 0 && crypto.subtle.timingSafeEqual(a, b)) return;
  throw new DystriError("forbidden", "the token is not the operator's", {
    field: "header Authorization",
    value: "a bearer token",
    hint: "send Authorization: Bearer <admin token>; API keys do not open this address",
  });
}

function credential(request: Request): string {
  // URLs are logged by every proxy on the way: a key found there must be taken for leaked.
  if (/[?&](api_?key|key|token|access_token)=|=dk_(live|test)_/i.test(request.url)) {
    throw new DystriError("unauthenticated", "an API key in the query string is refused", {
      field: "query",
      value: "an API key",
      hint: "send Authorization: Bearer <key>, and revoke the key that was in the address: addresses are logged",
    });
  }
  const key = bearer(request) ?? request.headers.get("x-api-key");
  if (key !== null && key !== "") return key;
  throw new DystriError("unauthenticated", "the request carries no API key", {
    field: "header Authorization",
    value: request.headers.has("authorization") ? "not of the form Bearer <key>" : "none",
    hint: "send Authorization: Bearer <key>, or X-API-Key: <key>",
  });
}

function bearer(request: Request): string | null {
  return /^Bearer +(\S+)$/i.exec(request.headers.get("authorization")?.trim() ?? "")?.[1] ?? null;
}

function malformedKey(text: string, reason: "form" | "checksum"): DystriError {
  const said =
    reason === "form"
      ? "the API key is not of the form dk_<env>_<user>_<secret>"
      : "the API key's checksum does not match";
  return new DystriError("unauthenticated", said, {
    field: "header Authorization",
    value: `${/^dk_(live|test)_/.exec(text)?.[0] ?? ""}... (${text.length} characters)`,
    hint: "copy the key again: a character is missing, added or changed",
  });
}

async function sha256(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}
