/** The secrets of a local system: made once, kept beside its state, because keys and certificates depend on them. */
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";

export type Secrets = {
  /** Keys the MACs of API keys and the names of users' objects. */
  DYSTRI_KEY_SECRET: string;
  /** Bearer token of the operator's routes. */
  DYSTRI_ADMIN_TOKEN: string;
  /** Signs nodes' certificates: an Ed25519 private key, PKCS #8 in base64url. */
  DYSTRI_NODE_SIGNING_KEY: string;
};

/** Reads `secrets.json` in `folder`, or makes it, readable by its owner only. Rejects when the file is damaged. */
export async function localSecrets(folder: string): Promise<Secrets> {
  const file = path.join(folder, "secrets.json");
  const kept = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (kept !== null) return parse(kept, file);
  const { privateKey } = generateKeyPairSync("ed25519");
  const secrets: Secrets = {
    DYSTRI_KEY_SECRET: randomBytes(32).toString("base64url"),
    DYSTRI_ADMIN_TOKEN: randomBytes(32).toString("base64url"),
    DYSTRI_NODE_SIGNING_KEY: privateKey.export({ format: "der", type: "pkcs8" }).toString("base64url"),
  };
  await mkdir(folder, { recursive: true });
  await writeFile(file, JSON.stringify(secrets, null, 2), { mode: 0o600 });
  return secrets;
}

function parse(text: string, file: string): Secrets {
  try {
    const { DYSTRI_KEY_SECRET, DYSTRI_ADMIN_TOKEN, DYSTRI_NODE_SIGNING_KEY } = JSON.parse(text) as Partial<Secrets>;
    if (DYSTRI_KEY_SECRET && DYSTRI_ADMIN_TOKEN && DYSTRI_NODE_SIGNING_KEY) {
      return { DYSTRI_KEY_SECRET, DYSTRI_ADMIN_TOKEN, DYSTRI_NODE_SIGNING_KEY };
    }
  } catch {
    // Told below, as for a file that lacks a secret.
  }
  throw new Error(`${file} is damaged: remove its folder to start afresh`);
}
