/** What each address gives to a request that is as it should be. */
import { beforeAll, describe, expect, it } from "vitest";
import { admin, bearer, call, INFER, newUser, PLAN, type NewUser } from "./client.ts";

let user: NewUser;
beforeAll(async () => {
  user = await newUser();
});

describe("what is asked for and given", () => {
  it("lists the applications", async () => {
    const { applications } = await (await call("/v1/applications")).json<{ applications: Record<string, unknown>[] }>();
    expect(applications).toMatchObject([
      { name: "tiny", platform: "vision", accepts: ["image/png", "image/jpeg"], deadline_ms: { default: 200 } },
    ]);
    expect(applications[0]?.["rungs"]).toHaveLength(3);
  });

  it("describes server and models", async () => {
    for (const path of ["/v2", "/v2/"]) {
      expect(await (await call(path)).json()).toMatchObject({
        name: "dystri",
        extensions: expect.arrayContaining(["classification"]) as string[],
      });
    }
    expect(await (await call("/v2/models")).json()).toEqual({ models: ["tiny"] });
    for (const path of ["/v2/models/tiny", "/v2/models/tiny/versions/1.0.0"]) {
      expect(await (await call(path)).json()).toMatchObject({
        name: "tiny",
        inputs: [{ name: "image", datatype: "UINT8", shape: [1, 1, 8, 8] }],
        outputs: [
          { name: "probabilities", shape: [1, 3] },
          { name: "label", datatype: "BYTES" },
        ],
      });
    }
  });

  it("is alive, and ready only with a warm inference Worker, of which there is none here", async () => {
    expect(await (await call("/v2/health/live")).json()).toEqual({ live: true, ready: true });
    for (const path of ["/v2/health/ready", "/v2/models/tiny/ready"]) {
      const response = await call(path);
      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).toBe("1");
      expect(await response.json()).toMatchObject({
        code: "not_ready",
        ready: false,
        field: "platform",
        value: "vision",
      });
    }
  });

  it("plans without computing", async () => {
    const response = await call(`${PLAN}?deadline_ms=80`, { method: "POST", headers: bearer(user.key) });
    expect(response.status).toBe(200);
    expect(response.headers.get("dystri-deadline-ms")).toBe("80");
    const plan = await response.json<{
      options: { tier: string; rung: string; predicted_ms: number }[];
      first: number;
      thresholds: unknown[];
    }>();
    expect(plan).toMatchObject({ application: "tiny", deadline_ms: 80 });
    expect(plan.options[plan.first]).toMatchObject({ tier: "edge" });
    for (const option of plan.options) expect(option.predicted_ms).toBeGreaterThan(0);
    expect(plan.thresholds.length).toBeGreaterThan(0);
  });

  it("keeps a request id that is one, and makes one otherwise", async () => {
    const idOf = async (given?: string) =>
      (await call("/v2", given === undefined ? {} : { headers: { "x-request-id": given } })).headers.get(
        "x-request-id",
      );
    expect(await idOf("abc_1-2")).toBe("abc_1-2");
    for (const given of [undefined, "a b", "x".repeat(129), "<script>"])
      expect(await idOf(given)).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("lets browsers call and read what they need", async () => {
    const preflight = await call(INFER, {
      method: "OPTIONS",
      headers: {
        origin: "https://a.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, dystri-deadline-ms",
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization, dystri-deadline-ms");
    const refused = await call(INFER, { method: "POST", headers: { origin: "https://a.example" } });
    expect(refused.headers.get("access-control-allow-origin")).toBe("*");
    expect(refused.headers.get("access-control-expose-headers")).toContain("Inference-Header-Content-Length");
    expect((await call(INFER, { method: "POST" })).headers.get("access-control-allow-origin")).toBeNull();
  });

  it("shows a key once, and no secret of it later", async () => {
    const response = await admin("/v1/users", { label: "laptop" });
    const made = await response.json<NewUser & { label: string }>();
    expect(response.status).toBe(201);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(made.label).toBe("laptop");
    expect(made.key).toContain(made.user);
    expect((await admin("/v1/users", { label: 7 })).status).toBe(400);
  });
});
