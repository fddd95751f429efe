/**
 * Who this node is, on disk: `identity.json` in the state folder, readable by its owner alone. It holds the private
 * key, so it is written whole or not at all.
 */
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { checked, object, text } from "../protocol/field-checks.ts";
import { NODE_NAME } from "../protocol/node-credentials.ts";
import { ConfigurationError } from "./log.ts";

export type Identity = {
  node: string;
  /** Ed25519, PKCS8 in base64url. */
  privateKey: string;
  certificate: string;
  /** Path of the connect address on the service. */
  gateway: string;
};

const identity = object<Identity>({
  node: text(48, NODE_NAME),
  privateKey: text(256),
  certificate: text(4096),
  gateway: text(256, /^\//),
});

/** Null when the node has not enrolled. Throws ConfigurationError when the file is damaged. */
export async function loadIdentity(state: string): Promise<Identity | null> {
  const file = join(state, "identity.json");
  let content: string;
  try {
    content = await readFile(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ConfigurationError(`${file} cannot be read: ${String(cause)}`, { cause });
  }
  const damaged = (why: string) =>
    new ConfigurationError(`${file} is damaged (${why}); delete it and enrol with a new token`);
  let json: unknown;
  try {
    json = JSON.parse(content);
  } catch {
    throw damaged("it is not JSON");
  }
  const result = checked(identity, json);
  if (!result.ok) throw damaged(result.message);
  return result.value;
}

export async function saveIdentity(state: string, value: Identity): Promise<void> {
  const file = join(state, "identity.json");
  const draft = `${file}.${process.pid}`;
  try {
    await mkdir(state, { recursive: true, mode: 0o700 });
    await writeFile(draft, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
    await chmod(draft, 0o600);
    await rename(draft, file);
  } catch (cause) {
    throw new ConfigurationError(`the identity cannot be saved in ${state}: ${String(cause)}`, { cause });
  }
}
