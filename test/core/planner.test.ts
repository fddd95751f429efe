import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { edgeMachine, nodeMachine, type Machine } from "../../control/machine.ts";
import { makePlan, type PlanInput } from "../../control/planner.ts";
import type { NodeEntry } from "../../protocol/fleet.ts";
import { MAX_OPTIONS, type Plan } from "../../protocol/plan.ts";
import { ladder, nodeEntry } from "../support/ladder.ts";

type EdgeState = { slowdown?: number; overheadMs?: number; spreadMs?: number; aheadMs?: number; price?: number };

const edgeAt = ({ slowdown = 1, overheadMs = 1, spreadMs = 0, aheadMs = 0, price = 0 }: EdgeState = {}): Machine =>
  edgeMachine(ladder(), { slowdown, overheadMs, spreadMs, tail: 1 }, aheadMs, price);

const nodeAt = (entry: NodeEntry, linkMs = 10, aheadMs = 0): Machine =>
  nodeMachine(entry, ladder(), { meanMs: linkMs, deviationMs: 0, msPerKiB: 0 }, aheadMs, entry.load.price);

const base = (over: Partial<PlanInput> = {}): PlanInput => ({
  application: ladder(),
  planId: "p",
  remainingMs: 200,
  wishes: { deadlinePolicy: "best_effort" },
  home: edgeAt(),
  away: [nodeAt(nodeEntry("n1"))],
  evidence: [],
  weight: 1,
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
    const plan = planOf(base({ away: [] }));
    expect([0, 1, 2].map((bin) => goal(plan, 0, bin))).toEqual(["2@edge", "2@edge", "stop"]);
  });

  test("a node that cannot make the deadline is not planned", () => {
    const plan = planOf(base({ remainingMs: 20, away: [nodeAt(nodeEntry("n1"), 10, 20)] }));
    expect(plan.options.every((option) => option.at.tier === "edge" || option.rung < 3)).toBe(true);
    expect(goal(plan, 0, 0)).toBe("2@edge");
  });

  test("what the edge does equally well is not sent to a node", () => {
    const light = nodeEntry("n1");
    delete light.registration.applications["shapes"]?.rungs["3"];
    const plan = planOf(base({ away: [nodeAt(light)] }));
    expect([0, 1].map((bin) => goal(plan, 0, bin))).toEqual(["2@edge", "2@edge"]);
  });

  test("the edge's stages beyond the deadline are not planned", () => {
    const plan = planOf(base({ away: [], remainingMs: 4 }));
    expect(plan.options.map((option) => option.rung)).toEqual([0, 1]);
  });

  test("a price on the node keeps work at the edge", () => {
    const dear = planOf(base({ away: [nodeAt(nodeEntry("n1", { price: 0.1 }))] }));
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
    const plan = planOf(base({ away: ["n1", "n2"].map((name) => nodeAt(nodeEntry(name))) }));
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
    expect(makePlan(base({ remainingMs: 2, away: [] }))).toMatchObject({ ok: false, code: "deadline_unmeetable" });
    expect(makePlan(base({ home: edgeAt({ aheadMs: 500 }), away: [] }))).toMatchObject({
      ok: false,
      code: "overloaded",
    });
  });

  test("the upper estimate adds the spreads of journey and computation as independent ones", () => {
    // 10 to 13 ms there and back, 5 to 9 ms there: 15 and, three and four at right angles, 20.
    const scattering: Machine = {
      ...nodeAt(nodeEntry("n1")),
      tail: 1.8,
      journeyMs: () => ({ meanMs: 10, tailMs: 13 }),
    };
    const { explanation } = planOf(base({ away: [scattering], explain: true }));
    const heavy = explanation?.find(({ rung }) => rung === 3);
    expect(heavy?.predictedMs).toBeCloseTo(15, 9);
    expect(heavy?.tailMs).toBeCloseTo(20, 9);
  });

  test("a node is asked for any rung it comes to, the least included", () => {
    const whole = planOf(base()).options.filter(({ at, from }) => at.tier === "node" && from === "input");
    expect(whole.map(({ minRung }) => minRung)).toEqual(whole.map(() => 0));
    expect(whole.length).toBeGreaterThan(0);
    // A node alone begins with what it can do itself, however shallow.
    const light = nodeEntry("n1");
    for (const rung of ["1", "2", "3"]) delete light.registration.applications["shapes"]?.rungs[rung];
    const plan = planOf(base({ home: edgeAt({ aheadMs: 500 }), away: [nodeAt(light)] }));
    expect(plan.options[plan.first]).toMatchObject({ rung: 0, minRung: 0, at: { node: "n1" } });
  });

  describe("where no upper estimate fits", () => {
    const scattered = (linkMs = 10): Machine => ({
      ...nodeAt(nodeEntry("n1")),
      journeyMs: () => ({ meanMs: linkMs, tailMs: linkMs + 100 }),
    });
    const hoping = (over: Partial<PlanInput> = {}) =>
      base({ remainingMs: 40, home: edgeAt({ spreadMs: 50 }), away: [scattered()], ...over });

    test("the quickest of each machine is hoped for, and each stands in for the other", () => {
      const plan = planOf(hoping());
      expect(plan.options).toMatchObject([
        { rung: 0, at: { tier: "edge" } },
        { rung: 0, at: { tier: "node", node: "n1" } },
      ]);
      expect(plan.first).toBe(0);
      expect(plan.otherwise).toEqual([1, 0]);
      expect(plan.next.flat().every((step) => step === "stop")).toBe(true);
    });

    test("a machine that is not even expected in time is not", () => {
      const plan = planOf(hoping({ away: [scattered(38)] }));
      expect(plan.options.map(({ at }) => at.tier)).toEqual(["edge"]);
    });

    test("one option that is sure leaves nothing to hope for", () => {
      const plan = planOf(hoping({ home: edgeAt({ spreadMs: 36 }) }));
      expect(plan.options.map(({ at, rung }) => [at.tier, rung])).toEqual([["edge", 0]]);
    });

    test("refused is what is not even expected in time", () => {
      // The quickest takes 2 ms as expected, and 1 is kept for the reply.
      const alone = (remainingMs: number) => makePlan(hoping({ away: [], remainingMs }));
      expect(alone(3)).toMatchObject({ ok: true });
      expect(alone(2.9)).toMatchObject({ ok: false, code: "deadline_unmeetable", predictedMs: 2 });
      const busy = hoping({ home: edgeAt({ spreadMs: 50, aheadMs: 500 }), away: [scattered(38)] });
      expect(makePlan(busy)).toMatchObject({ ok: false, code: "overloaded" });
    });
  });

  test("evidence from elsewhere decides the first step", () => {
    const sure = planOf(base({ evidence: [{ exit: 0, bin: 2, confidence: 0.95, top: [] }] }));
    expect(sure.first).toBe(-1);
    const unsure = planOf(base({ evidence: [{ exit: 0, bin: 0, confidence: 0.3, top: [] }] }));
    expect(unsure.options[unsure.first]).toMatchObject({ rung: 3 });
  });

  test("a cut travels where it gets there sooner than the input, and only from the exit that left it", () => {
    const application = ladder({ input: { ...ladder().input, bytes: 400_000 } });
    application.rungs[0] = {
      ...application.rungs[0]!,
      cut: { shape: [4, 4], bytes: { f32: 9000, u8: 4000, u4: 2000 }, lostPoints: { u8: 0, u4: 0.5 } },
    };
    application.rungs[3] = { ...application.rungs[3]!, resumesFrom: 0 };
    const entry = nodeEntry("n1");
    const stage = (rung: number, ms: number) => ({ rung, medianMs: ms, marginalMs: ms });
    entry.registration.applications["shapes"]!.rungs = {
      "3": { medianMs: 5.2, p95Ms: 6, quality: 0.9, gain: 0.1, stageMs: [stage(0, 0.2), stage(3, 5)] },
    };
    const away = [nodeMachine(entry, application, { meanMs: 2, deviationMs: 0, msPerKiB: 0.1 }, 0, 0)];
    const plan = planOf(base({ application, away }));
    const step = plan.next[0]?.[0];
    expect(plan.options[step as number]).toMatchObject({ rung: 3, from: 0, minRung: 1, at: { tier: "node" } });
    const small = planOf(base({ application: { ...application, input: { ...application.input, bytes: 8 } }, away }));
    expect(small.options.every((option) => option.from === "input")).toBe(true);
  });

  test("the first step is the one that leads to most: a variant at once where the ladder before it teaches nothing", () => {
    const application = ladder();
    // Cheap and always right, restarting from the input: nothing is gained by an exit before it.
    application.rungs[2] = { ...application.rungs[2]!, resumesFrom: "input", mflops: { own: 0.01, cumulative: 0.01 } };
    for (const rung of application.rungs) {
      rung.evidence = rung.evidence.map((row) => ({ ...row, right: [0.5, 0.5, 1, 0.5] }));
    }
    const home = edgeMachine(application, { slowdown: 1, overheadMs: 1, spreadMs: 0, tail: 1 }, 0, 0.01);
    const plan = planOf(base({ application, home, away: [] }));
    expect(plan.options[plan.first]).toMatchObject({ rung: 2 });
  });

  test("a second node is asked beside the first only where time is short and hedging is on", () => {
    const away = ["n1", "n2"].map((name) => nodeAt(nodeEntry(name)));
    expect(planOf(base({ away })).hedge).toBeUndefined();
    const idle = planOf(base({ away, hedging: true }));
    expect(idle.hedge?.every((index) => index === -1)).toBe(true);
    const tight = planOf(base({ away, hedging: true, remainingMs: 22 }));
    const step = tight.next[0]?.[0] as number;
    const [first, second] = [tight.options[step], tight.options[tight.hedge?.[step] ?? -1]];
    expect(second).toMatchObject({ rung: first?.rung, at: { tier: "node" } });
    expect(second?.at).not.toEqual(first?.at);
  });

  test("explains every candidate when asked, and only then", () => {
    expect(planOf(base()).explanation).toBeUndefined();
    const away = [nodeAt(nodeEntry("n1", { price: 0.001 })), nodeAt(nodeEntry("far"), 500)];
    const explanation = planOf(base({ away, explain: true })).explanation ?? [];
    const verdicts = (tier: string, node?: string) =>
      explanation
        .filter(({ at }) => at.tier === tier && (at.tier !== "node" || at.node === node))
        .map(({ rung, verdict }) => `${rung} ${verdict}`);
    expect(verdicts("edge")).toEqual(["0 first", "1 worth less", "2 fallback"]);
    expect(verdicts("node", "n1")).toContain("3 planned");
    expect(new Set(verdicts("node", "far").map((text) => text.slice(2)))).toEqual(new Set(["too slow"]));
    const heavy = explanation.find(({ at, rung }) => at.tier === "node" && at.node === "n1" && rung === 3);
    expect(heavy).toMatchObject({ price: 0.001, cost: 0.005 });
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
        home: edgeAt({ slowdown: at.slowdown, aheadMs: at.aheadMs, price }),
        away: at.links.map((linkMs, i) => nodeAt(nodeEntry(`n${i}`, { price }), linkMs)),
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
