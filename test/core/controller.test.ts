import { describe, expect, test } from "vitest";
import { Controller, EXCHANGE_EVERY_MS } from "../../control/controller.ts";
import {
  edgeSpeed,
  linkUpperMs,
  NEW_EDGE_ESTIMATE,
  NEW_LINK_ESTIMATE,
  observeEdge,
  observeLink,
} from "../../control/latency.ts";
import { PROBE_EVERY_MS, VIEW_LIVE_MS } from "../../control/fleet.ts";
import type { FleetView } from "../../protocol/fleet.ts";
import type { Leg, Plan, PlanRequest, Report } from "../../protocol/plan.ts";
import { ladder, nodeEntry, nodeView } from "../support/ladder.ts";

const request: PlanRequest = {
  application: "shapes",
  secretDigest: "",
  remainingMs: 200,
  wishes: { deadlinePolicy: "best_effort" },
};
const view = (): FleetView => ({
  epoch: 7,
  parent: "coordinator:global",
  nodes: [nodeEntry("n1")],
  weight: 1,
  share: 1,
});

function withView(now: number): Controller {
  const controller = new Controller("u", [ladder()], null);
  controller.absorb({ kind: "view", view: view() }, now);
  return controller;
}

function planAt(controller: Controller, now: number, planId = "p"): Plan {
  const { reply } = controller.plan(request, now, planId);
  if (!reply.ok) throw new Error(reply.detail);
  return reply.plan;
}

const usesNode = (plan: Plan) => plan.options.some((option) => option.at.tier === "node");

function report(legs: Partial<Leg>[], over: Partial<Report> = {}): Report {
  return {
    planId: "p",
    application: "shapes",
    outcome: "onTime",
    rung: 0,
    bin: 0,
    legs: legs.map((leg) => ({
      at: { tier: "edge" },
      rung: 0,
      workMs: 1,
      predictedMs: 1,
      tookMs: 1,
      aheadMs: 0,
      sentBytes: 0,
      end: "done",
      ...leg,
    })),
    nodes: [],
    ...over,
  };
}

describe("Controller", () => {
  test("a first plan uses the edge alone and asks for a view in the background", () => {
    const { reply, effects } = new Controller("u", [ladder()], null).plan(request, 0, "p");
    expect(reply.ok && usesNode(reply.plan)).toBe(false);
    expect(effects.exchange).toMatchObject({ user: "u", knownEpoch: 0 });
  });

  test("asks the coordinator at most once a second, in plans and reports alike", () => {
    const controller = new Controller("u", [ladder()], null);
    const asked = [0, 1, 999].map((now) => controller.plan(request, now, "p").effects.exchange !== null);
    expect(asked).toEqual([true, false, false]);
    expect(controller.report(report([]), EXCHANGE_EVERY_MS).exchange).not.toBeNull();
    expect(controller.plan(request, EXCHANGE_EVERY_MS + 1, "p").effects.exchange).toBeNull();
  });

  test("with an old view a plan may hold a node once per probe interval, and always again after an unchanged", () => {
    const controller = withView(0);
    expect(usesNode(planAt(controller, VIEW_LIVE_MS))).toBe(true);
    const old = VIEW_LIVE_MS + 1;
    expect([old, old + 1, old + PROBE_EVERY_MS].map((now) => usesNode(planAt(controller, now)))).toEqual([
      true,
      false,
      true,
    ]);
    controller.absorb({ kind: "unchanged", epoch: 7, loads: [] }, old + PROBE_EVERY_MS);
    expect([1, 2].map((ms) => usesNode(planAt(controller, old + PROBE_EVERY_MS + ms)))).toEqual([true, true]);
  });

  test("a lost node is not planned again until a newer connection shows", () => {
    const controller = withView(0);
    expect(usesNode(planAt(controller, 1))).toBe(true);
    controller.report(report([{ at: { tier: "node", node: "n1" }, end: "lost", tookMs: null }]), 2);
    expect(usesNode(planAt(controller, 3))).toBe(false);
    controller.absorb({ kind: "unchanged", epoch: 7, loads: [nodeView("n1", { epoch: 2, seq: 1 })] }, 4);
    expect(usesNode(planAt(controller, 5))).toBe(true);
  });

  test("a loaded node's backlog pushes the plan back to the edge", () => {
    const controller = withView(0);
    controller.report(report([], { nodes: [nodeView("n1", { seq: 2, backlogMs: [0, 100, 100, 100, 0, 0] })] }), 1);
    expect(usesNode(planAt(controller, 1))).toBe(false);
    // What the node has worked off since counts.
    expect(usesNode(planAt(controller, 200))).toBe(true);
  });

  test("what was learnt survives in the snapshot", () => {
    const controller = withView(0);
    for (let i = 0; i < 40; i++) {
      planAt(controller, i, "p");
      controller.report(report([{ tookMs: 20, profileMs: 3 }]), i);
    }
    const slow = planAt(controller, 50).options[0]?.predictedMs ?? 0;
    const restored = new Controller("u", [ladder()], JSON.parse(JSON.stringify(controller.snapshot())));
    expect(slow).toBeGreaterThan(4);
    expect(planAt(restored, 50)).toEqual(planAt(controller, 50));
  });

  test("decides the same whether the clock moves or not", () => {
    const frozen = withView(0);
    const plans = Array.from({ length: 50 }, (_, i) => {
      const plan = planAt(frozen, 0, "p");
      frozen.report(report([{ tookMs: 0, profileMs: 1 }]), 0);
      return [i, plan];
    });
    // Zero measurements are no samples: the estimate stays at its prior and no figure becomes NaN or infinite.
    expect(new Set(plans.map(([, plan]) => JSON.stringify(plan))).size).toBe(1);
    expect(JSON.stringify(plans)).not.toContain("null,");
  });
});

describe("latency estimates", () => {
  test("the edge's fit finds slow-down and overhead from whole milliseconds", () => {
    let estimate = NEW_EDGE_ESTIMATE;
    for (let i = 0; i < 400; i++) {
      const profileMs = [0.5, 2, 6][i % 3] as number;
      estimate = observeEdge(estimate, Math.round(2 * profileMs + 2 + ((i % 10) / 10 - 0.45)), 0, profileMs);
    }
    const { slowdown, overheadMs } = edgeSpeed(estimate);
    expect(slowdown).toBeGreaterThan(1.7);
    expect(slowdown).toBeLessThan(2.3);
    expect(overheadMs).toBeGreaterThan(1);
    expect(overheadMs).toBeLessThan(3);
  });

  test("below 50 ms of profile the prior answers; zeros are no samples", () => {
    let estimate = NEW_EDGE_ESTIMATE;
    for (let i = 0; i < 1000; i++) estimate = observeEdge(estimate, 0, 0, 1);
    expect(estimate).toEqual(NEW_EDGE_ESTIMATE);
    expect(edgeSpeed(observeEdge(estimate, 17, 0, 1)).slowdown).toBe(1);
  });

  test("a link's upper estimate covers its scatter", () => {
    let link = NEW_LINK_ESTIMATE;
    for (let i = 0; i < 200; i++) link = observeLink(link, i % 2 ? 10 : 14);
    expect(linkUpperMs(link)).toBeGreaterThanOrEqual(14);
    expect(linkUpperMs(link)).toBeLessThan(20);
  });
});
