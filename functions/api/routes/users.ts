/** The operator's routes for users and their keys. A key is shown once, at birth; only its digest is kept. */
import { Hono, type MiddlewareHandler } from "hono";
import { isHandle } from "../../../protocol/api-keys.ts";
import { DystriError, quote } from "../../../protocol/errors.ts";
import { userController } from "../../stubs.ts";
import { identify, keyMint, requireAdmin } from "../auth.ts";
import { readJsonObject } from "../body.ts";
import type { AppContext, AppEnv } from "../context.ts";

const MAX_LABEL_CHARS = 100;

const operatorOnly: MiddlewareHandler<AppEnv> = async (c, next) => {
  await requireAdmin(c.env, c.req.raw);
  await next();
};

export function userRoutes(): Hono<AppEnv> {
  return new Hono<AppEnv>()
    .post("/v1/users", operatorOnly, async (c) => {
      const label = labelOf(await optionalBody(c));
      const minted = await keyMint(c.env).mint();
      const { keyId, digest } = minted;
      await userController(c.env, minted.controller).addKey({ id: keyId, digest, label });
      return c.json({ user: minted.handle, key: minted.text, key_id: keyId, label }, 201, {
        "Cache-Control": "no-store",
      });
    })
    .post("/v1/users/keys/revoke", operatorOnly, async (c) => {
      const { controller, keyId } = await keyToRevoke(c);
      const revoked = await userController(c.env, controller).revokeKey(keyId);
      if (revoked) return c.json({ key_id: keyId, revoked });
      throw new DystriError("not_found", `there is no key ${quote(keyId)} of that user`, {
        field: "key",
        value: quote(keyId),
        hint: "send the key, or user and key_id as they were given when it was made",
      });
    });
}

/** By the key itself, as when one has leaked, or by what the operator has written down of it. */
async function keyToRevoke(c: AppContext): Promise<{ controller: string; keyId: string }> {
  const { key, user, key_id: keyId } = await readJsonObject(c.req.raw);
  if (typeof key === "string") {
    try {
      return await identify(c.env, key);
    } catch (cause) {
      // The operator is authenticated; it is the body that is wrong.
      const detail = cause instanceof DystriError ? cause.message : "the key is not usable";
      throw new DystriError(
        "bad_parameter",
        detail,
        { field: "key", value: "an API key", hint: "send the whole key" },
        cause,
      );
    }
  }
  if (typeof user === "string" && isHandle(user) && typeof keyId === "string") {
    return { controller: await keyMint(c.env).controllerName(user), keyId };
  }
  throw new DystriError("bad_parameter", "the body names no key", {
    field: "key",
    value: quote(key ?? null),
    hint: `send {"key": "dk_..."} or {"user": "...", "key_id": "key_..."}`,
  });
}

async function optionalBody(c: AppContext): Promise<Record<string, unknown>> {
  return c.req.raw.body === null || c.req.header("content-length") === "0" ? {} : readJsonObject(c.req.raw);
}

function labelOf({ label = "" }: Record<string, unknown>): string {
  if (typeof label === "string" && label.length <= MAX_LABEL_CHARS) return label;
  throw new DystriError("bad_parameter", "the label is not usable", {
    field: "label",
    value: quote(label),
    hint: `send a text of at most ${MAX_LABEL_CHARS} characters`,
  });
}
