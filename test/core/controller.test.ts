import { describe, expect, test } from "vitest";
import { Controller, EXCHANGE_EVERY_MS } from "../../control/controller.ts";
import {
  agedLink,
  edgeSpeed,
  linkMeanMs,
  linkUpperMs,
  NEW_EDGE_ESTIMATE,
  NEW_LINK_ESTIMATE,
  NEW_NODE_LINK,
  observeEdge,
  observeLink,
} from "../../control/latency.ts";
import { DOWN_MS, PROBE_EVERY_MS, VIEW_LIVE_MS } from "../../control/fleet.ts";
import { NEW_STANDING } from "../../control/standing.ts";
import type { FleetView, UserStanding } from "../../protocol/fleet.ts";
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
});
const standing = NEW_STANDING;

function withView(now: number): Controller {
  const controller = new Controller("u", [ladder()], null);
  controller.absorb({ kind: "view", view: view(), standing }, now);
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
    controller.absorb({ kind: "unchanged", standing, epoch: 7, loads: [] }, old + PROBE_EVERY_MS);
    expect([1, 2].map((ms) => usesNode(planAt(controller, old + PROBE_EVERY_MS + ms)))).toEqual([true, true]);
  });

  test("a device is told of the nodes of an old view as well, but not of one that was lost a moment ago", () => {
    const controller = withView(0);
    const told = (now: number) => controller.seen(request, "p", now).map(({ tier, node }) => node || tier);
    const old = VIEW_LIVE_MS + 5000;
    expect([0, VIEW_LIVE_MS, old].map(told)).toEqual([
      ["edge", "n1"],
      ["edge", "n1"],
      ["edge", "n1"],
    ]);
    // To tell of a node is no probe of it.
    expect(usesNode(planAt(controller, old))).toBe(true);
    controller.report(report([{ at: { tier: "node", node: "n1" }, end: "lost", tookMs: null }]), old);
    expect([old + 1, old + DOWN_MS, old + DOWN_MS + 1].map(told)).toEqual([["edge"], ["edge"], ["edge", "n1"]]);
    controller.absorb({ kind: "view", view: { ...view(), nodes: [] }, standing }, old + 5000);
    expect(told(old + 5000)).toEqual(["edge"]);
  });

  test("a node that nothing has come back from is believed as far away as nodes are thought to be", () => {
    const controller = withView(0);
    const heavy = planAt(controller, 0).options.find(({ rung }) => rung === 3);
    expect(heavy?.predictedMs).toBeCloseTo(linkMeanMs(NEW_NODE_LINK, ladder().input.bytes) + 5, 2);
    const leg = { at: { tier: "node", node: "n1" } as const, rung: 3, workMs: 5, computeMs: 5, queueMs: 0 };
    for (let i = 0; i < 20; i++) controller.report(report([{ ...leg, tookMs: 65 }]), i);
    const linkMs = (now: number) => controller.insight(now).nodes[0]?.linkMs ?? 0;
    expect(linkMs(20)).toBeGreaterThan(50);
    expect(linkMs(3_600_000)).toBeCloseTo(NEW_NODE_LINK.meanMs, 6);
  });

  test("a lost node is not planned again until a newer connection shows", () => {
    const controller = withView(0);
    expect(usesNode(planAt(controller, 1))).toBe(true);
    controller.report(report([{ at: { tier: "node", node: "n1" }, end: "lost", tookMs: null }]), 2);
    expect(usesNode(planAt(controller, 3))).toBe(false);
    controller.absorb({ kind: "unchanged", standing, epoch: 7, loads: [nodeView("n1", { epoch: 2, seq: 1 })] }, 4);
    expect(usesNode(planAt(controller, 5))).toBe(true);
  });

  test("a loaded node's backlog pushes the plan back to the edge", () => {
    const controller = withView(0);
    controller.report(report([], { nodes: [nodeView("n1", { seq: 2, backlogMs: [0, 100, 100, 100, 0, 0] })] }), 1);
    expect(usesNode(planAt(controller, 1))).toBe(false);
    // What the node has worked off since counts.
    expect(usesNode(planAt(controller, 200))).toBe(true);
  });

  test("a node's price weighs heavier on who uses more than their share, and lighter on whom answers are owed", () => {
    const goal = (over: Partial<UserStanding>): string => {
      const controller = new Controller("u", [ladder()], null);
      const nodes = [nodeEntry("n1", { price: 0.01 })];
      controller.absorb({ kind: "view", view: { ...view(), nodes }, standing: { ...standing, ...over } }, 0);
      const plan = planAt(controller, 1);
      return plan.next[0]?.map((step) => (step === "stop" ? "stop" : plan.options[step]?.at.tier)).join(" ") ?? "";
    };
    expect(goal({})).toBe("node edge stop");
    expect(goal({ nodeUse: 6 })).toBe("edge edge stop");
    expect(goal({ nodeUse: 1.2 })).toBe("node edge stop");
    expect(goal({ nodeUse: 1.2, debt: 50 })).toBe("node node stop");
    expect(goal({ nodeUse: 6, debt: 50 })).toBe("edge edge stop");
    expect(goal({ nodeUse: 0 })).toBe("node node stop");
  });

  test("where the front's thread is dear nobody goes on, at the edge or to a node, and the heavy stop first", () => {
    const way = (threadPrice: number, over: Partial<UserStanding> = {}, firstMs = 0.3): string => {
      const application = ladder();
      application.rungs[0] = { ...application.rungs[0]!, referenceMs: { edge: firstMs, node: 0.2 } };
      const controller = new Controller("u", [application], null);
      controller.absorb({ kind: "view", view: view(), standing: { ...standing, ...over } }, 0);
      const { reply } = controller.plan({ ...request, threadPrice }, 1, "p");
      if (!reply.ok) throw new Error(reply.detail);
      const { options, first, next } = reply.plan;
      const place = (step: number | "stop"): string => (step === "stop" ? "stop" : (options[step]?.at.tier ?? ""));
      return `${place(first)}: ${next[0]?.map(place).join(" ")}`;
    };
    expect(way(0)).toBe("edge: node node stop");
    // No gain is worth that; some call is needed for any answer, and the one that takes least of the thread is made.
    expect(way(20)).toBe("edge: stop stop stop");
    expect(way(20, {}, 1)).toBe("node: stop stop stop");
    // Two calls cost more than one: who needs the node anyway goes there at once. Who uses more than others pays more.
    expect(way(0.08)).toBe("node: node node stop");
    expect(way(0.08, { edgeUse: 4 })).toBe("node: node stop stop");
  });

  test("a price that has not been heard of for long rises until nothing is bought at it", () => {
    const controller = withView(0);
    const reported = (now: number) => controller.report(report([], { nodes: [nodeView("n1", { seq: 2 + now })] }), now);
    reported(0);
    expect(usesNode(planAt(controller, 900))).toBe(true);
    expect(controller.insight(900).nodes[0]?.priceHere).toBe(0);
    expect(controller.insight(2500).nodes[0]?.priceHere).toBeGreaterThan(0);
  });

  test("the price of a node that says nothing new falls while the coordinator is heard", () => {
    const controller = withView(0);
    controller.report(report([], { nodes: [nodeView("n1", { seq: 2, price: 0.5 })] }), 0);
    const price = (now: number) => {
      controller.absorb({ kind: "unchanged", standing, epoch: 7, loads: [] }, now);
      return controller.insight(now).nodes[0]?.priceHere ?? -1;
    };
    const [fresh, later, last] = [price(1000), price(2000), price(60_000)];
    expect(fresh).toBe(0.5);
    expect(later).toBeLessThan(fresh);
    expect(later).toBeGreaterThan(0);
    expect(last).toBe(0);
  });

  test("plans that no view has seen yet count as queued", () => {
    const controller = withView(0);
    const ahead = () => controller.insight(0).nodes[0]?.aheadMs ?? 0;
    const before = ahead();
    for (let i = 0; i < 10; i++) planAt(controller, 0, `p${i}`);
    const planned = ahead();
    expect(planned).toBeGreaterThan(before + 10);
    for (let i = 0; i < 10; i++) controller.report(report([], { planId: `p${i}` }), 0);
    expect(ahead()).toBe(before);
  });

  test("refuses what is above the quota, with the time to wait", () => {
    const controller = new Controller("u", [ladder()], null);
    controller.absorb({ kind: "view", view: view(), standing: { ...standing, quotaPerSecond: 2 } }, 0);
    const codes = [0, 0, 0, 499, 500].map((now) => {
      const { reply } = controller.plan(request, now, "p");
      return reply.ok ? "ok" : `${reply.code} ${reply.retryAfterMs}`;
    });
    expect(codes).toEqual(["ok", "ok", "quota_exceeded 500", "quota_exceeded 1", "ok"]);
  });

  test("an estimate that rules everything out is tried again once a second", () => {
    const controller = new Controller("u", [ladder()], null);
    for (let i = 0; i < 100; i++) controller.report(report([{ tookMs: 400, profileMs: 3 }]), i);
    const tight = { ...request, remainingMs: 50 };
    const oks = [100, 101, 1099, 1100].map((now) => controller.plan(tight, now, "p").reply.ok);
    expect(oks).toEqual([true, false, false, true]);
  });

  test("records predicted and actual times of what was measured", () => {
    const controller = new Controller("u", [ladder()], null);
    controller.report(
      report([
        { predictedMs: 4, tookMs: 5 },
        { predictedMs: 4, tookMs: null },
      ]),
      0,
    );
    controller.report(report([{ predictedMs: 4, tookMs: 2 }]), 0);
    expect(controller.insight(0).predictions).toEqual([
      expect.objectContaining({ tier: "edge", rung: 0, count: 2, sumErrorMs: -1, sumAbsErrorMs: 3, worstErrorMs: -2 }),
    ]);
  });

  test("tells the coordinator what was asked, used and delivered", () => {
    const controller = withView(0);
    planAt(controller, 0);
    planAt(controller, 0);
    const node = { at: { tier: "node", node: "n1" } as const, rung: 3, workMs: 5, computeMs: 12, batch: 3, queueMs: 0 };
    controller.report(report([{ profileMs: 2 }, { ...node, tookMs: 20 }]), 10);
    expect(controller.report(report([], { outcome: "late" }), 1000).exchange).toMatchObject({
      offered: 1,
      onTime: 1,
      edgeMs: 2,
      usedMs: 4,
      demandMs: 5,
    });
  });

  test("what was learnt survives in the snapshot", () => {
    const controller = withView(0);
    for (let i = 0; i < 40; i++) {
      planAt(controller, i, "p");
      controller.report(report([{ tookMs: 20, profileMs: 3 }]), i);
    }
    const slow = planAt(controller, 50).options[0]?.predictedMs ?? 0;
    controller.report(report([]), 50);
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
      estimate = observeEdge(estimate, Math.round(2 * profileMs + 2 + ((i % 10) / 10 - 0.45)), 0, profileMs, i);
    }
    const { slowdown, overheadMs } = edgeSpeed(estimate, 400);
    expect(slowdown).toBeGreaterThan(1.7);
    expect(slowdown).toBeLessThan(2.3);
    expect(overheadMs).toBeGreaterThan(1);
    expect(overheadMs).toBeLessThan(3);
  });

  test("below 50 measured ms the prior answers; zeros are no samples", () => {
    let estimate = NEW_EDGE_ESTIMATE;
    for (let i = 0; i < 1000; i++) estimate = observeEdge(estimate, 0, 0, 1, i);
    expect(estimate).toEqual(NEW_EDGE_ESTIMATE);
    expect(edgeSpeed(observeEdge(estimate, 17, 0, 1, 0), 0).slowdown).toBe(1);
    expect(edgeSpeed(observeEdge(estimate, 170, 0, 1, 0), 0).slowdown).toBeGreaterThan(1);
  });

  test("what tiny runs take is overhead, not slowness", () => {
    let estimate = NEW_EDGE_ESTIMATE;
    for (let i = 0; i < 400; i++) estimate = observeEdge(estimate, 3, 0, 0.05, i);
    const { slowdown, overheadMs } = edgeSpeed(estimate, 400);
    expect(slowdown).toBeLessThan(3);
    expect(overheadMs).toBeGreaterThan(2.5);
  });

  test("the prior fades as samples do: a steady machine is known within two percent", () => {
    let estimate = NEW_EDGE_ESTIMATE;
    for (let i = 0; i < 2000; i++) {
      const profileMs = [0.5, 2, 6][i % 3] as number;
      estimate = observeEdge(estimate, 20 * profileMs + 1, 0, profileMs, i);
    }
    expect(edgeSpeed(estimate, 2000).slowdown).toBeGreaterThan(19.6);
    expect(edgeSpeed(estimate, 2000).slowdown).toBeLessThan(20.4);
  });

  test("runs that never came back raise the tail at once, leave the slope, and are forgotten in time", () => {
    let estimate = NEW_EDGE_ESTIMATE;
    for (let i = 0; i < 200; i++) estimate = observeEdge(estimate, 5, 0, 2, i);
    const before = edgeSpeed(estimate, 200);
    for (let i = 0; i < 3; i++) estimate = observeEdge(estimate, 95, 0, 2, 200, true);
    const after = edgeSpeed(estimate, 200);
    expect(after.slowdown).toBe(before.slowdown);
    expect(after.tail).toBeGreaterThan(1.5);
    expect(edgeSpeed(estimate, 200 + 120_000).tail).toBeLessThan(1.1);
  });

  test("a slow spell is forgotten where nobody goes any more, at the edge and on the way to a node", () => {
    let estimate = NEW_EDGE_ESTIMATE;
    for (let i = 0; i < 300; i++) estimate = observeEdge(estimate, 200, 0, 3, 10 * i);
    expect(edgeSpeed(estimate, 3000).slowdown).toBeGreaterThan(10);
    const later = edgeSpeed(estimate, 3000 + 120_000);
    expect(later.slowdown).toBeLessThan(2.5);
    expect(later.spreadMs).toBeLessThan(3);
    const link = { meanMs: 400, deviationMs: 200, msPerKiB: 50 };
    expect(agedLink(link, 0)).toEqual(link);
    expect(linkUpperMs(agedLink(link, 120_000), 100)).toBeLessThan(20);
    const old = agedLink(link, 3_600_000);
    expect(linkUpperMs(old, 10_000)).toBeCloseTo(linkUpperMs(NEW_NODE_LINK, 10_000), 6);
    const quick = { meanMs: 1, deviationMs: 0.1, msPerKiB: 0.01 };
    expect(agedLink(quick, 3_600_000)).toEqual(quick);
  });

  test("one stall moves the spread only so far", () => {
    let estimate = NEW_EDGE_ESTIMATE;
    for (let i = 0; i < 300; i++) estimate = observeEdge(estimate, 5 + (i % 2), 0, 2, i);
    const before = edgeSpeed(estimate, 300).spreadMs;
    expect(edgeSpeed(observeEdge(estimate, 3000, 0, 2, 301), 301).spreadMs).toBeLessThan(1.5 * before);
  });

  test("a link's upper estimate covers its scatter", () => {
    let link = NEW_LINK_ESTIMATE;
    for (let i = 0; i < 200; i++) link = observeLink(link, i % 2 ? 10 : 14, 100);
    expect(linkUpperMs(link, 100)).toBeGreaterThanOrEqual(14);
    expect(linkUpperMs(link, 100)).toBeLessThan(20);
  });
});
