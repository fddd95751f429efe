/** Enrolment: a new key pair and a one-off token become a certificate. Done once in a node's life. */
import { checked, object, text } from "../protocol/field-checks.ts";
import { ENROLL_PATH } from "../protocol/node-connect.ts";
import { generateKeyPair, NODE_NAME } from "../protocol/node-credentials.ts";
import { saveIdentity, type Identity } from "./identity.ts";
import { ConfigurationError } from "./log.ts";

const TIMEOUT_MS = 10_000;

type Enrolled = { certificate: string; node: string; gateway: string };
const enrolled = object<Enrolled>({ certificate: text(4096), node: text(48, NODE_NAME), gateway: text(256, /^\//) });

/**
 * Enrols at `url` and saves the identity in `state`. Throws ConfigurationError with the service's own words when the
 * token is not taken, and a plain Error when the service cannot be reached.
 */
export async function enrol(url: string, token: string, state: string): Promise<Identity> {
  const { privateKey, publicKey } = await generateKeyPair();
  const response = await fetch(new URL(ENROLL_PATH, url), {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token, public_key: publicKey }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch((cause: unknown) => {
    throw new Error(`${url} cannot be reached for enrolment: ${reasonOf(cause)}`, { cause });
  });
  const body = await response.text();
  if (!response.ok) {
    const why = `enrolment at ${url} was refused: ${response.status} ${detailOf(body)}`;
    throw response.status < 500 && response.status !== 429 ? new ConfigurationError(why) : new Error(why);
  }
  const result = checked(enrolled, parse(body));
  if (!result.ok) throw new ConfigurationError(`${url} does not answer like a Dystri service: ${result.message}`);
  const identity: Identity = { ...result.value, privateKey };
  await saveIdentity(state, identity);
  return identity;
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

/** The sentence of a problem body, or the beginning of whatever came instead. */
export function detailOf(body: string): string {
  const json = parse(body);
  const { detail, hint } = (typeof json === "object" && json !== null ? json : {}) as {
    detail?: unknown;
    hint?: unknown;
  };
  if (typeof detail !== "string") return body.slice(0, 200);
  return typeof hint === "string" ? `${detail}; ${hint}` : detail;
}

function reasonOf(cause: unknown): string {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  return inner instanceof Error ? inner.message || inner.name : String(inner);
}
