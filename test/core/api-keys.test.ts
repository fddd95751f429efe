import { describe, expect, it } from "vitest";
import { formatApiKey, isHandle, KeyMint, keyIdOf, parseApiKey, secretDigest } from "../../protocol/api-keys.ts";
import { sha256Hex } from "../../protocol/encoding.ts";

const SECRET = "a key secret for tests only";

describe("API keys", () => {
  it("have the form that is documented and come back from parsing", async () => {
    const minted = await new KeyMint("test", SECRET).mint();
    expect(minted.text).toMatch(/^dk_test_[0-9A-Za-z]{18}_[0-9A-Za-z]{49}$/);
    const parsed = parseApiKey(minted.text);
    if (!parsed.ok) throw new Error(parsed.reason);
    expect(parsed.key.handle).toBe(minted.handle);
    expect(formatApiKey(parsed.key)).toBe(minted.text);
    expect(await secretDigest(parsed.key)).toBe(minted.digest);
    expect(minted.digest).toBe(await sha256Hex(parsed.key.secret));
    expect(minted.keyId).toBe(keyIdOf(minted.digest));
    expect(minted.text).not.toContain(minted.keyId.slice(4));
    expect(isHandle(minted.handle)).toBe(true);
  });

  it("find every mistyped character by the checksum alone", async () => {
    const { text } = await new KeyMint("test", SECRET).mint();
    for (let at = "dk_test_".length; at < text.length; at++) {
      if (text[at] === "_") continue;
      const wrong = text.slice(0, at) + (text[at] === "x" ? "y" : "x") + text.slice(at + 1);
      expect(parseApiKey(wrong), `character ${at}`).toEqual({ ok: false, reason: "checksum" });
    }
  });

  it.each([
    "",
    "dk_",
    "dk_test_abc",
    "sk-proj-123",
    "dk_prod_" + "a".repeat(18) + "_" + "b".repeat(49),
    "dk_test_".repeat(9999),
  ])("refuse what is not of their form: %.20s", (text) => {
    expect(parseApiKey(text)).toEqual({ ok: false, reason: "form" });
  });

  it("tell a longer or shorter key by its form", async () => {
    const { text } = await new KeyMint("test", SECRET).mint();
    for (const wrong of [text.slice(0, -1), `${text}a`, ` ${text}`, `${text}\n`]) {
      expect(parseApiKey(wrong)).toEqual({ ok: false, reason: "form" });
    }
  });

  it("are vouched for by the mint of the same secret and environment only", async () => {
    const mint = new KeyMint("test", SECRET);
    const parsed = parseApiKey((await mint.mint()).text);
    if (!parsed.ok) throw new Error(parsed.reason);
    const { key } = parsed;
    expect(await mint.vouches(key)).toBe(true);
    expect(await new KeyMint("test", `${SECRET}.`).vouches(key)).toBe(false);
    expect(await new KeyMint("live", SECRET).vouches(key)).toBe(false);
    expect(await mint.vouches({ ...key, env: "live" })).toBe(false);
    expect(await mint.vouches({ ...key, handle: "0000000000" })).toBe(false);
    expect(await mint.vouches({ ...key, mac: "" })).toBe(false);
    // The MAC covers the environment, too: none of the checks rests on another.
    const live = parseApiKey((await new KeyMint("live", SECRET).mint(key.handle)).text);
    expect(live.ok && live.key.mac).not.toBe(key.mac);
  });

  it("of one user lead to one controller, which nobody can name without the secret", async () => {
    const mint = new KeyMint("test", SECRET);
    const first = await mint.mint();
    const second = await mint.mint(first.handle);
    const other = await mint.mint();
    expect(first.controller).toMatch(/^user:[0-9a-f]{64}$/);
    expect(second.controller).toBe(first.controller);
    expect(second.text).not.toBe(first.text);
    expect(other.controller).not.toBe(first.controller);
    expect(await new KeyMint("test", `${SECRET}.`).controllerName(first.handle)).not.toBe(first.controller);
  });

  it("are not minted under settings that cannot be meant", () => {
    expect(() => new KeyMint("staging", SECRET)).toThrow("DYSTRI_ENV");
    expect(() => new KeyMint("test", "")).toThrow("DYSTRI_KEY_SECRET");
  });
});
