import { beforeAll, describe, expect, test } from "vitest";
import { fromBase64Url, toBase64Url } from "../../protocol/encoding.ts";
import {
  CLOCK_SKEW_MS,
  CONNECT_TOKEN_LIFE_MS,
  generateKeyPair,
  generateSigningKey,
  importPrivateKey,
  importPublicKey,
  importSigningKey,
  issueCertificate,
  issueConnectToken,
  verifyCertificate,
  verifyConnect,
  type Key,
} from "../../protocol/node-credentials.ts";

const NOW = 1_800_000_000_000;
const YEAR = 365 * 24 * 3600 * 1000;
let service: { sign: Key; verify: Key; publicKey: string };
let node: { privateKey: string; publicKey: string };
let key: Key;
let certificate: string;

beforeAll(async () => {
  service = await importSigningKey(await generateSigningKey());
  node = await generateKeyPair();
  key = await importPrivateKey(node.privateKey);
  certificate = await issueCertificate(
    { node: "n1", publicKey: node.publicKey, tags: ["gpu"], issuedAt: NOW, lifeMs: YEAR },
    service.sign,
  );
});

const reasonOf = async (cert: string, token: string, now = NOW): Promise<string> => {
  const verified = await verifyConnect(cert, token, service.verify, now);
  return verified.ok ? "ok" : `${verified.error.credential} ${verified.error.reason}`;
};

/** The credential with its claims changed and its signature kept. */
function forged(credential: string, change: (claims: Record<string, unknown>) => void): string {
  const [head = "", signature = ""] = credential.split(".");
  const claims = JSON.parse(new TextDecoder().decode(fromBase64Url(head.slice(4)) as Uint8Array)) as Record<
    string,
    unknown
  >;
  change(claims);
  return `${head.slice(0, 4)}${toBase64Url(new TextEncoder().encode(JSON.stringify(claims)))}.${signature}`;
}

describe("certificate", () => {
  test("says what was certified", async () => {
    const verified = await verifyCertificate(certificate, service.verify, NOW + 1);
    expect(verified).toEqual({
      ok: true,
      claims: { v: 1, node: "n1", publicKey: node.publicKey, tags: ["gpu"], issuedAt: NOW, expiresAt: NOW + YEAR },
    });
  });

  test("expires", async () => {
    expect((await verifyCertificate(certificate, service.verify, NOW + YEAR - 1)).ok).toBe(true);
    expect(await verifyCertificate(certificate, service.verify, NOW + YEAR)).toMatchObject({
      error: { reason: "expired" },
    });
  });

  test("of another service is refused", async () => {
    const other = await importSigningKey(await generateSigningKey());
    expect(await verifyCertificate(certificate, other.verify, NOW)).toMatchObject({
      error: { reason: "bad_signature" },
    });
  });

  test("with other claims under the same signature is refused", async () => {
    const raised = forged(certificate, (claims) => (claims["node"] = "n2"));
    expect(await verifyCertificate(raised, service.verify, NOW)).toMatchObject({ error: { reason: "bad_signature" } });
  });

  test.each(["", "dnc_", "dnc_a.b", "dnc_!!.??", "dnc_e30", `dnc_${"a".repeat(5000)}`, "x.y.z", "dnt_e30.e30"])(
    "%.20s is malformed",
    async (text) => {
      expect(await verifyCertificate(text, service.verify, NOW)).toMatchObject({ error: { reason: "malformed" } });
    },
  );
});

describe("connect token", () => {
  test("of the node named in the certificate is taken, each with a jti of its own", async () => {
    const [a, b] = [
      await issueConnectToken("n1", certificate, key, NOW),
      await issueConnectToken("n1", certificate, key, NOW),
    ];
    const [first, second] = [
      await verifyConnect(certificate, a, service.verify, NOW),
      await verifyConnect(certificate, b, service.verify, NOW),
    ];
    if (!first.ok || !second.ok) throw new Error("refused");
    expect(first.identity.connect.jti).not.toBe(second.identity.connect.jti);
    expect(first.identity.certificate.node).toBe("n1");
  });

  test("lives a minute at most", async () => {
    const token = await issueConnectToken("n1", certificate, key, NOW);
    expect(await reasonOf(certificate, token, NOW + CONNECT_TOKEN_LIFE_MS - 1)).toBe("ok");
    expect(await reasonOf(certificate, token, NOW + CONNECT_TOKEN_LIFE_MS)).toBe("token expired");
  });

  test("from a clock that runs ahead is taken within the skew", async () => {
    const later = await issueCertificate(
      { node: "n1", publicKey: node.publicKey, tags: [], issuedAt: NOW, lifeMs: YEAR },
      service.sign,
    );
    expect(await reasonOf(later, await issueConnectToken("n1", later, key, NOW + CLOCK_SKEW_MS))).toBe("ok");
    expect(await reasonOf(later, await issueConnectToken("n1", later, key, NOW + CLOCK_SKEW_MS + 1))).toBe(
      "token not_yet_valid",
    );
  });

  test("signed by another key is refused", async () => {
    const thief = await importPrivateKey((await generateKeyPair()).privateKey);
    expect(await reasonOf(certificate, await issueConnectToken("n1", certificate, thief, NOW))).toBe(
      "token bad_signature",
    );
  });

  test("made for another certificate of the same node is refused", async () => {
    const other = await issueCertificate(
      { node: "n1", publicKey: node.publicKey, tags: ["cpu"], issuedAt: NOW, lifeMs: YEAR },
      service.sign,
    );
    expect(await reasonOf(certificate, await issueConnectToken("n1", other, key, NOW))).toBe("token other_certificate");
  });

  test("that names another node is refused", async () => {
    expect(await reasonOf(certificate, await issueConnectToken("n2", certificate, key, NOW))).toBe("token other_node");
  });

  test("that gives itself a longer life is refused", async () => {
    const token = forged(
      await issueConnectToken("n1", certificate, key, NOW),
      (claims) => (claims["expiresAt"] = NOW + YEAR),
    );
    expect(await reasonOf(certificate, token)).toBe("token bad_signature");
    const greedy = await signedToken({ expiresAt: NOW + CONNECT_TOKEN_LIFE_MS + 1 });
    expect(await reasonOf(certificate, greedy)).toBe("token too_long_lived");
  });

  test("claims are checked even under a good signature", async () => {
    expect(await reasonOf(certificate, await signedToken({ jti: "short" }))).toBe("token malformed");
    expect(await reasonOf(certificate, await signedToken({ surprise: 1 }))).toBe("token malformed");
  });

  test("a certificate is no token, nor the reverse", async () => {
    const token = await issueConnectToken("n1", certificate, key, NOW);
    expect(await reasonOf(certificate, certificate)).toBe("token malformed");
    expect(await reasonOf(token, token)).toBe("certificate malformed");
    // Under the other prefix the signature does not fit, even by the same key.
    expect(await reasonOf(token.replace("dnt_", "dnc_"), token)).toBe("certificate bad_signature");
  });

  /** A token with these claims, properly signed by the node. */
  async function signedToken(over: Record<string, unknown>): Promise<string> {
    const body =
      forged(await issueConnectToken("n1", certificate, key, NOW), (claims) => Object.assign(claims, over)).split(
        ".",
      )[0] ?? "";
    const signed = new TextEncoder().encode(`dystri node connect 1\n${body.slice(4)}`);
    return `${body}.${toBase64Url(new Uint8Array(await crypto.subtle.sign("Ed25519", key, signed)))}`;
  }
});

describe("keys", () => {
  test("the public half comes out of the signing key", async () => {
    const pair = await generateKeyPair();
    expect((await importSigningKey(pair.privateKey)).publicKey).toBe(pair.publicKey);
  });

  test("text that is no key is a plain sentence or null, never a surprise", async () => {
    await expect(importSigningKey("nonsense")).rejects.toThrow(/DYSTRI_NODE_SIGNING_KEY is not an Ed25519 key/);
    expect(await importPublicKey("nonsense")).toBeNull();
    expect(await importPublicKey(toBase64Url(new Uint8Array(31)))).toBeNull();
  });
});
