/** The operator's routes for a user's weight and quota, from the address to the coordinator's books. */
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { keyMint } from "../../functions/api/auth.ts";
import { coordinator } from "../../functions/stubs.ts";
import { bearer, call, newUser, problemOf } from "./client.ts";

const bindings = env as ApiEnv;

function settings(method: "GET" | "PUT", user: string, body?: unknown): Promise<Response> {
  const init = { method, headers: bearer(bindings.DYSTRI_ADMIN_TOKEN) };
  return call(`/v1/users/${user}`, body === undefined ? init : { ...init, body: JSON.stringify(body) });
}

describe("a user's settings", () => {
  it("are defaults until they are set, and then what was set", async () => {
    const { user } = await newUser();
    const fresh = await settings("GET", user);
    expect(fresh.status).toBe(200);
    expect(await fresh.json()).toEqual({ user, weight: 1, quota_per_second: null, standing: null });
    const put = await settings("PUT", user, { weight: 0.5, quota_per_second: 12 });
    expect(put.status).toBe(200);
    expect(await put.json()).toMatchObject({ user, weight: 0.5, quota_per_second: 12 });
    expect(await (await settings("GET", user)).json()).toMatchObject({ weight: 0.5, quota_per_second: 12 });
    await settings("PUT", user, { weight: 2, quota_per_second: null });
    expect(await (await settings("GET", user)).json()).toMatchObject({ weight: 2, quota_per_second: null });
  });

  it("reach the user's own controller: both sides know it by one name", async () => {
    const { user, key } = await newUser();
    await settings("PUT", user, { weight: 3, quota_per_second: null });
    const name = await keyMint(bindings).controllerName(user);
    // Plans exchange with the coordinator in the background.
    for (let i = 0; i < 500 && (await coordinator(bindings).user(name)).standing === null; i++) {
      await call("/v1/plan/tiny", { method: "POST", headers: bearer(key) });
    }
    const shown = await (await settings("GET", user)).json();
    expect(shown).toMatchObject({ weight: 3, standing: { active: true } });
  });

  it.each([
    [{ weight: 0, quota_per_second: null }, "weight", "0"],
    [{ weight: 101, quota_per_second: null }, "weight", "101"],
    [{ weight: "2", quota_per_second: null }, "weight", "2"],
    [{ weight: 1 }, "quota_per_second", "null"],
    [{ weight: 1, quota_per_second: 0 }, "quota_per_second", "0"],
    [{ weight: 1, quota_per_second: 1e6 }, "quota_per_second", "1000000"],
    [{ weight: 1, quota_per_second: null, burst: 3 }, "burst", "3"],
  ])("%j names the field that is wrong", async (body, field, value) => {
    const { user } = await newUser();
    const response = await settings("PUT", user, body);
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ code: "bad_parameter", field, value });
  });

  it("are the operator's, of users there are", async () => {
    const { user, key } = await newUser();
    expect((await call(`/v1/users/${user}`)).status).toBe(401);
    expect((await call(`/v1/users/${user}`, { headers: bearer(key) })).status).toBe(403);
    expect(await problemOf(await settings("GET", "nobody"))).toMatchObject({ code: "bad_parameter", field: "user" });
    expect(await problemOf(await settings("GET", "0000000000"))).toMatchObject({ code: "not_found", field: "user" });
    expect((await settings("PUT", "0000000000", { weight: 1, quota_per_second: null })).status).toBe(404);
    const other = await call(`/v1/users/${user}`, { method: "DELETE", headers: bearer(bindings.DYSTRI_ADMIN_TOKEN) });
    expect(other.status).toBe(405);
    expect(other.headers.get("allow")).toContain("PUT");
  });
});
