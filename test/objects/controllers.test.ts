/**
 * UserController and Coordinator in workerd. Evictions and aborts are the platform's own here; what these tests do not
 * show is a deployed object's placement, its clock or its overload errors.
 */
import { evictDurableObject, abortAllDurableObjects } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { coordinator, userController } from "../../functions/stubs.ts";
import type { GatewayReport } from "../../protocol/fleet.ts";
import type { PlanReply, PlanRequest, Report } from "../../protocol/plan.ts";
import { applications } from "../../functions/generated/catalogue.ts";
import { nodeEntry } from "../support/ladder.ts";

const DIGEST = "d".repeat(64);
const application = applications[0];
if (!application) throw new Error("the catalogue is empty");
const heaviest = application.rungs.length - 1;

const ask = (over: Partial<PlanRequest> = {}): PlanRequest => ({
  application: application.name,
  secretDigest: DIGEST,
  remainingMs: 500,
  wishes: { deadlinePolicy: "best_effort" },
  ...over,
});

/** A node that serves every rung of the first application in the catalogue. */
function gatewayReport(node: string): GatewayReport {
  const entry = nodeEntry(node);
  const rungs = Object.fromEntries(
    application!.rungs.map((_, i) => [String(i), { medianMs: 1, p95Ms: 1, quality: 0.9, gain: 0.1, stageMs: [] }]),
  );
  const registration = {
    ...entry.registration,
    applications: { [application!.name]: { version: application!.version, rungs } },
  };
  return { ...entry, registration, offeredMs: 0 };
}

function planOf(reply: PlanReply) {
  if (!reply.ok) throw new Error(`${reply.code}: ${reply.detail}`);
  return reply.plan;
}

const nodesIn = (reply: PlanReply) => planOf(reply).options.filter((option) => option.at.tier === "node");

async function user(): Promise<string> {
  const name = `user:${crypto.randomUUID()}`;
  await userController(env, name).addKey({ id: "k1", digest: DIGEST, label: "test" });
  return name;
}

/** Plans until the background exchange with the coordinator has brought nodes into view. */
async function untilNodes(name: string): Promise<void> {
  for (let i = 0; i < 500; i++) if (nodesIn(await userController(env, name).plan(ask())).length > 0) return;
  throw new Error("the controller never saw a node");
}

describe("UserController", () => {
  test("plans for a key it knows, and for no other", async () => {
    const name = await user();
    expect((await userController(env, name).plan(ask())).ok).toBe(true);
    expect(await userController(env, name).plan(ask({ secretDigest: "0".repeat(64) }))).toMatchObject({
      ok: false,
      code: "unauthenticated",
    });
    expect(await userController(env, `user:${crypto.randomUUID()}`).plan(ask())).toMatchObject({
      ok: false,
      code: "unauthenticated",
    });
  });

  test("a revoked key stays revoked across an eviction", async () => {
    const name = await user();
    expect(await userController(env, name).revokeKey("k1")).toBe(true);
    await evictDurableObject(env.USER_CONTROLLER.getByName(name));
    expect(await userController(env, name).plan(ask())).toMatchObject({ code: "unauthenticated" });
    expect(await userController(env, name).revokeKey("nope")).toBe(false);
  });

  test("learns of nodes from the coordinator in the background, and keeps its estimates across an eviction", async () => {
    await coordinator(env).reportGateway(gatewayReport("node-a"));
    const name = await user();
    await untilNodes(name);
    const plan = planOf(await userController(env, name).plan(ask()));
    const report: Report = {
      planId: plan.planId,
      application: application.name,
      outcome: "onTime",
      rung: heaviest,
      bin: 0,
      legs: [
        {
          at: { tier: "node", node: "node-a" },
          rung: heaviest,
          workMs: 2,
          predictedMs: 10,
          tookMs: 400,
          aheadMs: 0,
          sentBytes: 784,
          end: "done",
          queueMs: 0,
          computeMs: 2,
        },
      ],
      nodes: [],
    };
    await userController(env, name).report([report]);
    // A link of 400 ms no longer fits the deadline; that must still be known when the object comes back from disk.
    await evictDurableObject(env.USER_CONTROLLER.getByName(name));
    expect(nodesIn(await userController(env, name).plan(ask({ remainingMs: 60 })))).toEqual([]);
    expect(nodesIn(await userController(env, name).plan(ask({ remainingMs: 5000 }))).length).toBeGreaterThan(0);
  });

  test("all objects aborted in mid-flight: the next plan is made from what is on disk", async () => {
    const name = await user();
    const plans = Promise.allSettled(Array.from({ length: 20 }, () => userController(env, name).plan(ask())));
    await abortAllDurableObjects();
    await plans;
    expect((await userController(env, name).plan(ask())).ok).toBe(true);
  });
});

describe("Coordinator", () => {
  test("an enrolment token is taken once, also across an eviction", async () => {
    await coordinator(env).mintEnrolment({ digest: "e1", node: "node-b", tags: ["gpu"], expiresInMs: 60_000 });
    await evictDurableObject(env.COORDINATOR.getByName("coordinator:global"));
    expect(await coordinator(env).redeemEnrolment("e1")).toEqual({ ok: true, node: "node-b", tags: ["gpu"] });
    await evictDurableObject(env.COORDINATOR.getByName("coordinator:global"));
    expect(await coordinator(env).redeemEnrolment("e1")).toEqual({ ok: false, reason: "used" });
  });

  test("nodes survive an eviction and can be forgotten", async () => {
    await coordinator(env).reportGateway(gatewayReport("node-c"));
    await evictDurableObject(env.COORDINATOR.getByName("coordinator:global"));
    expect((await coordinator(env).nodes()).map((entry) => entry.node)).toContain("node-c");
    expect(await coordinator(env).removeNode("node-c")).toBe(true);
    expect(await coordinator(env).removeNode("node-c")).toBe(false);
  });
});
