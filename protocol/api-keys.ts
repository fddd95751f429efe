/**
 * API keys: `dk_<env>_<handle><MAC>_<secret><CRC>`.
 *
 * Three checks, each cheaper than the next one's place: the CRC-32 finds typing mistakes without any secret; the MAC
 * (under the service's key secret) finds made-up handles without any state; the digest of the secret, held by the
 * user's controller, decides. The controller's object name is an HMAC of the handle, so that no caller can choose it.
 */
import { crc32, digestBase62, randomBase62, sha256Hex, toHex } from "./encoding.ts";

export type KeyEnvironment = "live" | "test";

/** The parts of a key whose form and checksum are right; nothing else about it is proven. */
export type ApiKey = { env: KeyEnvironment; handle: string; mac: string; secret: string };

export type ParsedKey = { ok: true; key: ApiKey } | { ok: false; reason: "form" | "checksum" };

const HANDLE_CHARS = 10;
const MAC_CHARS = 8;
/** 43 base62 characters carry 256 bits, so that a plain SHA-256 of them needs no salt and no slow hash. */
const SECRET_CHARS = 43;
const CRC_CHARS = 6;
const FORM = new RegExp(
  `^dk_(live|test)_([0-9A-Za-z]{${HANDLE_CHARS}})([0-9A-Za-z]{${MAC_CHARS}})_([0-9A-Za-z]{${SECRET_CHARS}})([0-9A-Za-z]{${CRC_CHARS}})$`,
);
/** Below this a key secret could be guessed from one key and its MAC. */
const MIN_KEY_SECRET_CHARS = 16;

/** Reads a key's parts. Pure; says whether it was the form or the checksum that is wrong. */
export function parseApiKey(text: string): ParsedKey {
  const parts = FORM.exec(text);
  if (!parts) return { ok: false, reason: "form" };
  if (checksum(text.slice(0, -CRC_CHARS)) !== parts[5]) return { ok: false, reason: "checksum" };
  const [, env, handle, mac, secret] = parts as unknown as [string, KeyEnvironment, string, string, string];
  return { ok: true, key: { env, handle, mac, secret } };
}

export function formatApiKey(key: ApiKey): string {
  const body = `dk_${key.env}_${key.handle}${key.mac}_${key.secret}`;
  return body + checksum(body);
}

/** SHA-256 of the key's secret, hex: what the user's controller stores and compares. */
export function secretDigest(key: ApiKey): Promise<string> {
  return sha256Hex(key.secret);
}

/** Names a key in logs and records. A prefix of the digest of 256 random bits tells nothing about them. */
export function keyIdOf(digest: string): string {
  return `key_${digest.slice(0, 12)}`;
}

/** A fresh key and everything that follows from it. `text` is shown once and kept nowhere. */
export type MintedKey = { text: string; handle: string; keyId: string; digest: string; controller: string };

/** Mints and checks the keys of one environment under one key secret. */
export class KeyMint {
  readonly #env: KeyEnvironment;
  readonly #hmac: Promise<CryptoKey>;

  /** Throws when `env` is unknown or the key secret too short to be one: a mistake in the deployment's settings. */
  constructor(env: string, keySecret: string) {
    if (env !== "live" && env !== "test") throw new Error(`DYSTRI_ENV must be "live" or "test"`);
    if (keySecret.length < MIN_KEY_SECRET_CHARS) {
      throw new Error(`DYSTRI_KEY_SECRET must have at least ${MIN_KEY_SECRET_CHARS} characters`);
    }
    this.#env = env;
    this.#hmac = crypto.subtle.importKey(
      "raw",
      new TextEncoder().encode(keySecret),
      { name: "HMAC", hash: "SHA-256" },
      false,
      ["sign"],
    );
  }

  get env(): KeyEnvironment {
    return this.#env;
  }

  /** A key for a new user, or a further key for the user of `handle`. */
  async mint(handle: string = randomBase62(HANDLE_CHARS)): Promise<MintedKey> {
    const key = { env: this.#env, handle, mac: await this.#mac(handle), secret: randomBase62(SECRET_CHARS) };
    const digest = await secretDigest(key);
    return {
      text: formatApiKey(key),
      handle,
      keyId: keyIdOf(digest),
      digest,
      controller: await this.controllerName(handle),
    };
  }

  /** Whether this service made the key's handle, for this environment. Says nothing about the secret. */
  async vouches(key: ApiKey): Promise<boolean> {
    return key.env === this.#env && sameText(await this.#mac(key.handle), key.mac);
  }

  /** Object name of the user's controller. */
  async controllerName(handle: string): Promise<string> {
    return `user:${toHex(await this.#sign(`object:${handle}`))}`;
  }

  async #mac(handle: string): Promise<string> {
    return digestBase62(await this.#sign(`mac:${this.#env}:${handle}`), MAC_CHARS);
  }

  async #sign(message: string): Promise<Uint8Array> {
    return new Uint8Array(await crypto.subtle.sign("HMAC", await this.#hmac, new TextEncoder().encode(message)));
  }
}

/** Whether `handle` has the form of a user's handle. */
export function isHandle(handle: string): boolean {
  return new RegExp(`^[0-9A-Za-z]{${HANDLE_CHARS}}$`).test(handle);
}

function checksum(body: string): string {
  const crc = crc32(body);
  return digestBase62(new Uint8Array([crc >>> 24, (crc >>> 16) & 255, (crc >>> 8) & 255, crc & 255]), CRC_CHARS);
}

/** Compares two texts of the same length in a time that does not depend on where they differ. */
function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
