import { describe, expect, test } from "vitest";
import {
  DeviceController,
  nextOnDevice,
  safetyStages,
  seenService,
  securesAfterMs,
  serviceMs,
  worthSending,
  type DeviceAsk,
  type SeenMachine,
} from "../../control/device.ts";
import { edgeMachine, nodeMachine } from "../../control/machine.ts";
import type { ExitResult, Plan } from "../../protocol/plan.ts";
import { ladder, nodeEntry } from "../support/ladder.ts";

const application = ladder();
const LINK = { meanMs: 10, deviationMs: 1, msPerKiB: 0 };
const EDGE: SeenMachine = {
  tier: "edge",
  node: "",
  slowdown: 1,
  tail: 1,
  aheadMs: 0,
  price: 0,
  meanMs: 1,
  tailMs: 1,
};
const NODE: SeenMachine = { ...EDGE, tier: "node", node: "n1", meanMs: 5, tailMs: 8 };

const ask = (over: Partial<DeviceAsk> = {}): DeviceAsk => ({
  application,
  planId: "p1",
  remainingMs: 100,
  wishes: { deadlinePolicy: "best_effort" },
  evidence: [],
  device: { slowdown: 2, tail: 1.1, aheadMs: 0 },
  link: LINK,
  ...over,
});

const exit = (at: number, bin: number): ExitResult => ({
  exit: at,
  bin,
  confidence: [0.4, 0.7, 0.95][bin] ?? 0,
  top: [],
});

function planOf(controller: DeviceController, over: Partial<DeviceAsk> = {}, now = 0): Plan {
  const reply = controller.plan(ask(over), now);
  if (!reply.ok) throw new Error(`${reply.code}: ${reply.detail}`);
  return reply.plan;
}

/** Where the plan goes after an exit. */
const goal = (plan: Plan, at: number, bin: number): string => {
  const step = plan.next[at]?.[bin];
  const option = typeof step === "number" ? plan.options[step] : undefined;
  return option ? `${option.rung}@${option.at.tier}` : "stop";
};

const edgeMs = (rung: number): number => application.rungs[rung]?.referenceMs.edge ?? Number.NaN;
const nodeMs = (rung: number): number => application.rungs[rung]?.referenceMs.node ?? Number.NaN;

/** The nodes that the plan may lead to. */
const nodesOf = (plan: Plan): string[] => [
  ...new Set(plan.options.flatMap(({ at }) => (at.tier === "node" ? [at.node] : []))),
];

describe("DeviceController", () => {
  test("begins at home, stops where it is sure and asks the service where it is not", () => {
    const controller = new DeviceController();
    controller.absorb([EDGE, NODE], 0);
    const plan = planOf(controller);
    expect(plan.options[plan.first]).toMatchObject({ rung: 0, at: { tier: "device" } });
    expect([goal(plan, 0, 0), goal(plan, 0, 2)]).toEqual(["3@node", "stop"]);
  });

  test("a dear service is not asked; half of the price is forgotten in a second", () => {
    const controller = new DeviceController();
    controller.absorb([{ ...NODE, price: 0.05 }], 0);
    expect(goal(planOf(controller), 0, 1)).toBe("2@device");
    expect(goal(planOf(controller, {}, 10_000), 0, 1)).toBe("3@node");
  });

  test("of a slow way half the caution counts, and less the longer nothing was heard", () => {
    const controller = new DeviceController();
    controller.absorb([NODE], 0);
    // As expected 5 + 60 + 5 ms, at the upper end 8 + 100 + 5.
    const slow = { link: { meanMs: 60, deviationMs: 20, msPerKiB: 0 } };
    expect(goal(planOf(controller, { ...slow, remainingMs: 105 }), 0, 0)).toBe("3@node");
    expect(goal(planOf(controller, { ...slow, remainingMs: 90 }), 0, 0)).toBe("2@device");
    expect(goal(planOf(controller, { ...slow, remainingMs: 90 }, 5000), 0, 0)).toBe("3@node");
  });

  test("its own requests on their way count as queued until they are answered", () => {
    const controller = new DeviceController();
    controller.absorb([NODE], 0);
    const tight = { remainingMs: 30 };
    const plan = planOf(controller, tight);
    expect(goal(plan, 0, 0)).toBe("3@node");
    const option = plan.options.findIndex(({ at, rung }) => at.tier === "node" && rung === 3);
    for (let i = 0; i < 3; i++) controller.asked({ ...plan, planId: `q${i}` }, option);
    expect(goal(planOf(controller, tight), 0, 0)).not.toBe("3@node");
    for (let i = 0; i < 3; i++) controller.answered(`q${i}`);
    expect(goal(planOf(controller, tight), 0, 0)).toBe("3@node");
  });

  test("the way and the service are not slow at once more often than chance has it", () => {
    const controller = new DeviceController();
    controller.absorb([{ ...NODE, tailMs: 35 }], 0);
    // Expected 5 + 60 + 5 ms. The service may take 30 longer and the way 40, together 50; half of that counts.
    const link = { meanMs: 60, deviationMs: 20, msPerKiB: 0 };
    expect(goal(planOf(controller, { link, remainingMs: 105 }), 0, 0)).toBe("3@node");
    expect(goal(planOf(controller, { link, remainingMs: 100 }), 0, 0)).toBe("2@device");
  });

  test("a service of which nothing was heard is asked all the same", () => {
    const plan = planOf(new DeviceController(), { device: { slowdown: 50, tail: 1.1, aheadMs: 0 } });
    expect(plan.options.some(({ at }) => at.tier === "edge")).toBe(true);
    expect(goal(planOf(new DeviceController()), 0, 0)).toBe("3@node");
  });

  test("where none was told of it hopes for a node after a second of silence, asks, and believes what it is told", () => {
    const controller = new DeviceController();
    const nodesAt = (now: number) => nodesOf(planOf(controller, {}, now));
    controller.absorb([EDGE], 0);
    expect([0, 1000].map(nodesAt)).toEqual([[], []]);
    const hoping = planOf(controller, {}, 1001);
    expect(nodesOf(hoping)).toEqual(["?"]);
    expect(nextOnDevice(application, hoping, [exit(0, 0)], 100)).toMatchObject({ kind: "ask" });

    controller.absorb([EDGE], 1100);
    expect([1100, 2100, 2101].map(nodesAt)).toEqual([[], [], ["?"]]);
    controller.absorb([EDGE, NODE], 2200);
    expect([2200, 3200, 3201, 10_000].map(nodesAt)).toEqual([["n1"], ["n1"], ["n1"], ["n1"]]);
    // One that was told of and is too busy is not hoped away.
    controller.absorb([{ ...NODE, aheadMs: 10_000 }], 20_000);
    expect(nodesAt(22_000)).toEqual([]);
  });
});

describe("nextOnDevice", () => {
  const controller = new DeviceController();
  controller.absorb([NODE], 0);
  const plan = planOf(controller);
  const alone = planOf(new DeviceController(), { remainingMs: 12 });

  test("runs, asks and stops as the table says", () => {
    expect(nextOnDevice(application, plan, [], 100)).toEqual({ kind: "run", rung: 0, target: 0 });
    expect(nextOnDevice(application, plan, [exit(0, 0)], 100)).toMatchObject({ kind: "ask" });
    expect(nextOnDevice(application, plan, [exit(0, 2)], 100)).toEqual({ kind: "stop" });
  });

  test("steps down to what still fits; without time it stops with an exit and is late without", () => {
    expect(goal(alone, 0, 0)).toBe("2@device");
    expect(nextOnDevice(application, alone, [exit(0, 0)], 2)).toEqual({ kind: "run", rung: 1, target: 2 });
    expect(nextOnDevice(application, alone, [exit(0, 0)], 1.5)).toEqual({ kind: "run", rung: 1, target: 1 });
    expect(nextOnDevice(application, alone, [exit(0, 0)], 0.5)).toEqual({ kind: "stop" });
    expect(nextOnDevice(application, alone, [], 0.5)).toEqual({ kind: "late" });
  });
});

describe("what a device tells and is told", () => {
  test("the service has what the journey leaves as expected, however much it scatters", () => {
    expect(serviceMs(100, LINK, 64)).toBeCloseTo(100 - 10, 9);
    expect(serviceMs(100, { ...LINK, deviationMs: 40 }, 64)).toBeCloseTo(100 - 10, 9);
    expect(serviceMs(100, { ...LINK, msPerKiB: 3 }, 2048)).toBeCloseTo(100 - 16, 9);
    expect(serviceMs(9, LINK, 64)).toBe(0);
  });

  test("nothing is sent behind others that cannot be answered in time, and a free link is always tried", () => {
    const controller = new DeviceController();
    controller.absorb([{ ...EDGE, slowdown: 3, aheadMs: 50 }, NODE], 0);
    // Whoever is quickest with its first rung and nobody ahead.
    const leastMs = controller.leastMs(application);
    expect(leastMs).toBe(Math.min(1 + 3 * edgeMs(0), 5 + nodeMs(0)));
    expect(worthSending(10 + leastMs + 0.1, LINK, 64, 64, leastMs)).toBe(true);
    expect(worthSending(10 + leastMs - 0.1, LINK, 64, 64, leastMs)).toBe(false);
    expect(worthSending(1, LINK, 64, 0, leastMs)).toBe(true);
  });

  test("while the service is asked the quickest rung that fits is secured", () => {
    expect(safetyStages(application, 10)).toEqual([0]);
    expect(safetyStages(application, 0.5)).toEqual([]);
  });

  test("it is begun at home as late as it may be, at its upper estimate, and not where that is too late", () => {
    const device = { slowdown: 4, tail: 1.5 };
    const upperMs = 4 * 1.5 * edgeMs(0);
    const afterMs = securesAfterMs(application, 50, device) ?? Number.NaN;
    expect(afterMs + upperMs).toBeLessThan(50);
    expect(afterMs + upperMs).toBeGreaterThan(48);
    expect(securesAfterMs(application, upperMs, device)).toBe(0);
    expect(securesAfterMs(application, upperMs - 0.1, device)).toBeNull();
  });

  test("of the nodes the one that would answer first is told of, in reference milliseconds", () => {
    const edge = edgeMachine(application, { slowdown: 2, overheadMs: 3, spreadMs: 1, tail: 1 }, 4, 0.01);
    const at = (name: string, aheadMs: number) =>
      nodeMachine(
        nodeEntry(name, { slowdown: 1.5 }),
        application,
        { meanMs: 8, deviationMs: 1, msPerKiB: 0 },
        aheadMs,
        0.02,
      );
    const seen = seenService(application, edge, [at("busy", 60), at("idle", 0)]);
    expect(seen).toMatchObject([
      { tier: "edge", slowdown: 2, aheadMs: 4, price: 0.01, meanMs: 3, tailMs: 4 },
      { tier: "node", node: "idle", slowdown: 1.5, aheadMs: 0, price: 0.02, meanMs: 8, tailMs: 10 },
    ]);
  });
});
