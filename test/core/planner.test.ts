import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { makePlan, type PlanInput } from "../../control/planner.ts";
import { MAX_OPTIONS, type Plan } from "../../protocol/plan.ts";
import { ladder, nodeEntry } from "../support/ladder.ts";

const base = (over: Partial<PlanInput> = {}): PlanInput => ({
  application: ladder(),
  planId: "p",
  remainingMs: 200,
  wishes: { deadlinePolicy: "best_effort" },
  edge: { slowdown: 1, overheadMs: 1, aheadMs: 0, price: 0 },
  nodes: [{ entry: nodeEntry("n1"), linkMs: 10, aheadMs: 0 }],
  evidence: [],
  ...over,
});

function planOf(input: PlanInput): Plan {
  const reply = makePlan(input);
  if (!reply.ok) throw new Error(`${reply.code}: ${reply.detail}`);
  return reply.plan;
}

/** Where a plan goes from an exit, as "stop" or "rung@place". */
function goal(plan: Plan, exit: number, bin: number): string {
  const step = plan.next[exit]?.[bin];
  if (step === "stop" || step === undefined) return "stop";
  const option = plan.options[step];
  return option ? `${option.rung}@${option.at.tier === "node" ? option.at.node : option.at.tier}` : "missing";
}

describe("makePlan", () => {
  test("starts with the first exit and escalates only what is unsure", () => {
    const plan = planOf(base());
    expect(plan.options[plan.first]).toMatchObject({ rung: 0, at: { tier: "edge" } });
    expect([0, 1, 2].map((bin) => goal(plan, 0, bin))).toEqual(["3@n1", "3@n1", "stop"]);
  });

  test("without a node the deepest useful exit of the edge is the goal", () => {
    const plan = planOf(base({ nodes: [] }));
    expect([0, 1, 2].map((bin) => goal(plan, 0, bin))).toEqual(["2@edge", "2@edge", "stop"]);
  });

  test("a node that cannot make the deadline is not planned", () => {
    const plan = planOf(base({ remainingMs: 20, nodes: [{ entry: nodeEntry("n1"), linkMs: 10, aheadMs: 20 }] }));
    expect(plan.options.every((option) => option.at.tier === "edge" || option.rung < 3)).toBe(true);
    expect(goal(plan, 0, 0)).toBe("2@edge");
  });

  test("what the edge does equally well is not sent to a node", () => {
    const light = nodeEntry("n1");
    delete light.registration.applications["shapes"]?.rungs["3"];
    const plan = planOf(base({ nodes: [{ entry: light, linkMs: 10, aheadMs: 0 }] }));
    expect([0, 1].map((bin) => goal(plan, 0, bin))).toEqual(["2@edge", "2@edge"]);
  });

  test("the edge's stages beyond the deadline are not planned", () => {
    const plan = planOf(base({ nodes: [], remainingMs: 4 }));
    expect(plan.options.map((option) => option.rung)).toEqual([0, 1]);
  });

  test("a price on the node keeps work at the edge", () => {
    const dear = planOf(base({ nodes: [{ entry: nodeEntry("n1", { price: 0.1 }), linkMs: 10, aheadMs: 0 }] }));
    expect([0, 1].map((bin) => goal(dear, 0, bin))).toEqual(["2@edge", "2@edge"]);
  });

  test("a lost node leads to the deepest exit of the edge, a refusing edge to the node", () => {
    const plan = planOf(base());
    const node = plan.options.findIndex((option) => option.rung === 3);
    const first = plan.first;
    expect(plan.options[plan.otherwise[node] ?? -1]).toMatchObject({ rung: 2, at: { tier: "edge" } });
    expect(plan.options[plan.otherwise[first] ?? -1]).toMatchObject({ rung: 3, at: { node: "n1" } });
  });

  test("a node takes over what another refused", () => {
    const nodes = ["n1", "n2"].map((name) => ({ entry: nodeEntry(name), linkMs: 10, aheadMs: 0 }));
    const plan = planOf(base({ nodes }));
    const n1 = plan.options.findIndex(
      (option) => option.at.tier === "node" && option.at.node === "n1" && option.rung === 3,
    );
    expect(plan.options[plan.otherwise[n1] ?? -1]).toMatchObject({ rung: 3, at: { node: "n2" } });
  });

  test("wishes: max_exit, tier and min_confidence", () => {
    const shallow = planOf(base({ wishes: { deadlinePolicy: "best_effort", maxExit: 1 } }));
    expect(new Set(shallow.options.map((option) => option.rung))).toEqual(new Set([0]));
    const edge = planOf(base({ wishes: { deadlinePolicy: "best_effort", tier: "edge" } }));
    expect(edge.options.every((option) => option.at.tier === "edge")).toBe(true);
    const node = planOf(base({ wishes: { deadlinePolicy: "best_effort", tier: "node" } }));
    expect(node.options[node.first]).toMatchObject({ rung: 3, at: { tier: "node" } });
    const sure = planOf(base({ wishes: { deadlinePolicy: "best_effort", minConfidence: 0.95 } }));
    expect(goal(sure, 0, 1)).toBe("3@n1");
  });

  test("strict floors are conditions", () => {
    const strict = { deadlinePolicy: "strict", minAccuracy: 0.95 } as const;
    expect(makePlan(base({ wishes: strict }))).toMatchObject({ ok: false, code: "deadline_unmeetable" });
    expect(makePlan(base({ wishes: { ...strict, deadlinePolicy: "best_effort" } }))).toMatchObject({ ok: true });
  });

  test("refuses at once: 504 where idle machines could not make it, 429 where load is the reason", () => {
    expect(makePlan(base({ remainingMs: 2, nodes: [] }))).toMatchObject({ ok: false, code: "deadline_unmeetable" });
    const busy = { slowdown: 1, overheadMs: 1, aheadMs: 500, price: 0 };
    expect(makePlan(base({ edge: busy, nodes: [] }))).toMatchObject({ ok: false, code: "overloaded" });
  });

  test("evidence from elsewhere decides the first step", () => {
    const sure = planOf(base({ evidence: [{ exit: 0, bin: 2, confidence: 0.95, top: [] }] }));
    expect(sure.first).toBe(-1);
    const unsure = planOf(base({ evidence: [{ exit: 0, bin: 0, confidence: 0.3, top: [] }] }));
    expect(unsure.options[unsure.first]).toMatchObject({ rung: 3 });
  });

  const inputs = fc.record({
    remainingMs: fc.integer({ min: 1, max: 400 }),
    slowdown: fc.double({ min: 0.2, max: 8, noNaN: true }),
    aheadMs: fc.integer({ min: 0, max: 100 }),
    links: fc.array(fc.integer({ min: 1, max: 80 }), { maxLength: 4 }),
    price: fc.double({ min: 0, max: 0.2, noNaN: true }),
  });
  const planFor = (
    at: typeof inputs extends fc.Arbitrary<infer T> ? T : never,
    remainingMs = at.remainingMs,
    price = at.price,
  ) =>
    makePlan(
      base({
        remainingMs,
        edge: { slowdown: at.slowdown, overheadMs: 1, aheadMs: at.aheadMs, price },
        nodes: at.links.map((linkMs, i) => ({ entry: nodeEntry(`n${i}`, { price }), linkMs, aheadMs: 0 })),
      }),
    );

  test("property: every option fits, every index is valid, the table covers every exit and bin", () => {
    fc.assert(
      fc.property(inputs, (at) => {
        const reply = planFor(at);
        if (!reply.ok) return;
        const { plan } = reply;
        expect(plan.options.length).toBeLessThanOrEqual(MAX_OPTIONS);
        for (const option of plan.options)
          expect(option.predictedMs).toBeLessThanOrEqual(at.remainingMs - plan.marginMs + 1e-9);
        expect(plan.next.map((row) => row.length)).toEqual([3, 3, 3, 3]);
        for (const step of plan.next.flat()) if (step !== "stop") expect(plan.options[step]).toBeDefined();
        plan.otherwise.forEach((index, i) => expect(index === -1 || (index !== i && plan.options[index])).toBeTruthy());
        expect(plan.options[plan.first]).toBeDefined();
      }),
    );
  });

  test("property: at the edge alone and without prices, more time never plans a shallower goal", () => {
    fc.assert(
      fc.property(inputs, fc.integer({ min: 0, max: 300 }), (at, more) => {
        const alone = { ...at, links: [] };
        const [tight, loose] = [planFor(alone, at.remainingMs, 0), planFor(alone, at.remainingMs + more, 0)];
        if (!tight.ok) return;
        const depth = (plan: Plan, bin: number) =>
          Math.max(0, ...plan.options.filter((_, i) => plan.next[0]?.[bin] === i).map((o) => o.rung));
        expect(loose.ok).toBe(true);
        if (loose.ok)
          for (const bin of [0, 1]) expect(depth(loose.plan, bin)).toBeGreaterThanOrEqual(depth(tight.plan, bin));
      }),
    );
  });

  test("property: a higher price never raises the work a plan goes on to after its first exit", () => {
    fc.assert(
      fc.property(inputs, fc.double({ min: 0, max: 0.2, noNaN: true }), (at, more) => {
        const [cheap, dear] = [planFor(at), planFor(at, at.remainingMs, at.price + more)];
        if (!cheap.ok || !dear.ok) return;
        const work = (plan: Plan, bin: number) => {
          const step = plan.next[0]?.[bin];
          const option = typeof step === "number" ? plan.options[step] : undefined;
          return option ? (option.at.tier === "edge" ? option.workMs - 1 : option.workMs) : 0;
        };
        for (const bin of [0, 1, 2]) expect(work(dear.plan, bin)).toBeLessThanOrEqual(work(cheap.plan, bin) + 1e-9);
      }),
    );
  });
});
