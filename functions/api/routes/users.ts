/**
 * The operator's routes for users, their keys, weights and quotas. A key is shown once, at birth; only its digest is kept.
 * The coordinator knows a user by the name of its controller's object, which follows from the handle alone.
 */
import { Hono, type MiddlewareHandler } from "hono";
import { isHandle } from "../../../protocol/api-keys.ts";
import { DystriError, quote } from "../../../protocol/errors.ts";
import { checked, nullable, number, object, type Check } from "../../../protocol/field-checks.ts";
import type { UserRecord } from "../../../protocol/services.ts";
import { coordinator, userController } from "../../stubs.ts";
import { identify, keyMint, requireAdmin } from "../auth.ts";
import { readJsonObject } from "../body.ts";
import type { AppContext, AppEnv } from "../context.ts";

const MAX_LABEL_CHARS = 100;

type SettingsBody = { weight: number; quota_per_second: number | null };
/** A weight ten times another's is ten times its share; beyond these bounds a user would have all or nothing. */
const settingsBody: Check<SettingsBody> = object<SettingsBody>({
  weight: number(0.1, 100),
  quota_per_second: nullable(number(0.1, 100_000)),
});

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
    })
    .get("/v1/users/:user", operatorOnly, async (c) => {
      const { handle, controller } = await knownUser(c);
      return c.json(described(handle, await coordinator(c.env).user(controller)));
    })
    .put("/v1/users/:user", operatorOnly, async (c) => {
      const { weight, quota_per_second: quotaPerSecond } = settingsOf(await readJsonObject(c.req.raw));
      const { handle, controller } = await knownUser(c);
      return c.json(described(handle, await coordinator(c.env).setUser(controller, { weight, quotaPerSecond })));
    });
}

/** The user an address names. Throws DystriError bad_parameter, or not_found where no key was ever made for it. */
async function knownUser(c: AppContext): Promise<{ handle: string; controller: string }> {
  const handle = c.req.param("user") ?? "";
  if (!isHandle(handle)) {
    throw new DystriError("bad_parameter", "this is no name of a user", {
      field: "user",
      value: quote(handle),
      hint: "use the user as it was given when it was made, never a key",
    });
  }
  const controller = await keyMint(c.env).controllerName(handle);
  if ((await userController(c.env, controller).keys()).length > 0) return { handle, controller };
  throw new DystriError("not_found", `there is no user ${handle}`, {
    field: "user",
    value: quote(handle),
    hint: "POST /v1/users makes one",
  });
}

/** Both settings, each replaced. Throws DystriError bad_parameter, naming the field. */
function settingsOf(body: Record<string, unknown>): SettingsBody {
  const result = checked(settingsBody, body);
  if (result.ok) return result.value;
  throw new DystriError("bad_parameter", result.message, {
    field: result.field,
    value: quote(body[result.field] ?? null),
    hint: 'send {"weight": 0.1 to 100, "quota_per_second": 0.1 to 100000, or null for none}',
  });
}

function described(user: string, { weight, quotaPerSecond, standing }: UserRecord) {
  return {
    user,
    weight,
    quota_per_second: quotaPerSecond,
    standing: standing && {
      active: standing.active,
      share: standing.share,
      node_use: standing.nodeUse,
      edge_use: standing.edgeUse,
      debt: standing.debt,
    },
  };
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
