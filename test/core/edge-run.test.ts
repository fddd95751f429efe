import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { leastWorkMs, nextStep, type EdgeProgress } from "../../control/edge-run.ts";
import { chainReferenceMs } from "../../control/ladder.ts";
import type { ExitResult, Option, Plan } from "../../protocol/plan.ts";
import { ladder } from "../support/ladder.ts";

/** Three edge exits of 1 ms each in a chain (0 ← 1 ← 2), and a variant 3 from the input for nodes. */
const application = ladder();

const at = (rung: number, over: Partial<Option> = {}): Option => ({
  rung,
  minRung: 0,
  at: { tier: "edge" },
  from: "input",
  predictedMs: 1,
  workMs: 1,
  ...over,
});
const onNode = at(3, { at: { tier: "node", node: "n1" } });

/** Three bins per exit; a row says the same for all of them unless given as three. */
function planOf(options: Option[], next: (("stop" | number) | ("stop" | number)[])[]): Plan {
  const rows = next.map((row) => (Array.isArray(row) ? row : [row, row, row]));
  return {
    planId: "p",
    options,
    first: 0,
    next: rows,
    otherwise: options.map(() => -1),
    marginMs: 0,
    edgeSlowdown: 1,
    weight: 1,
    reason: "",
  };
}

const exit = (index: number, bin = 1): ExitResult => ({ exit: index, bin, confidence: 0.8, top: [[0, 0.8]] });

const progress = (exits: ExitResult[] = [], over: Partial<EdgeProgress> = {}): EdgeProgress => ({
  option: 0,
  from: "input",
  exits,
  evidence: [],
  ...over,
});

const step = (plan: Plan, done: EdgeProgress, fitsMs: number) => nextStep(application, plan, done, fitsMs);

describe("the table", () => {
  const plan = planOf([at(2), onNode], [[0, 0, "stop"], [0, 1, "stop"], 1]);

  test("a job begins with the first stage on the way to its option, and passes through the exits between", () => {
    expect(step(plan, progress(), 10)).toEqual({ kind: "run", option: 0, rung: 0, target: 2, workMs: 3 });
    expect(step(plan, progress([exit(0)]), 10)).toEqual({ kind: "run", option: 0, rung: 1, target: 2, workMs: 2 });
  });

  test("it is asked at every exit, in the bin of that exit", () => {
    expect(step(plan, progress([exit(0, 2)]), 10)).toEqual({ kind: "stop" });
    expect(step(plan, progress([exit(0, 0), exit(1, 1)]), 10)).toEqual({ kind: "escalate", option: 1 });
    expect(step(plan, progress([exit(0, 0), exit(1, 0)]), 10)).toEqual({
      kind: "run",
      option: 0,
      rung: 2,
      target: 2,
      workMs: 1,
    });
    expect(step(plan, progress([exit(0), exit(1, 0), exit(2)]), 10)).toEqual({ kind: "escalate", option: 1 });
  });

  test("what it does not say means stop", () => {
    expect(step(planOf([at(2)], []), progress([exit(0)]), 10)).toEqual({ kind: "stop" });
    expect(step(planOf([at(2)], [7]), progress([exit(0)]), 10)).toEqual({ kind: "stop" });
    expect(step(planOf([at(2)], [0, 0, 0]), progress([exit(0), exit(1), exit(2)]), 10)).toEqual({ kind: "stop" });
  });

  test("it may send a job on to a deeper edge option than it was opened for", () => {
    const deeper = planOf([at(0), at(2)], [1, 1, "stop"]);
    expect(step(deeper, progress(), 10)).toEqual({ kind: "run", option: 0, rung: 0, target: 0, workMs: 1 });
    expect(step(deeper, progress([exit(0)]), 10)).toEqual({ kind: "run", option: 1, rung: 1, target: 2, workMs: 2 });
  });

  test("an escalation is handed back whatever time is left: the caller's clock decides", () => {
    expect(step(plan, progress([exit(0, 0), exit(1, 1)]), 0)).toEqual({ kind: "escalate", option: 1 });
  });
});

describe("time", () => {
  const plan = planOf([at(2)], [0, 0, "stop"]);

  test("a target that no longer fits is lowered to the deepest rung that does", () => {
    expect(step(plan, progress(), 2.5)).toEqual({ kind: "run", option: 0, rung: 0, target: 1, workMs: 2 });
    expect(step(plan, progress(), 1)).toEqual({ kind: "run", option: 0, rung: 0, target: 0, workMs: 1 });
  });

  test("nothing runs that is predicted to end after the deadline", () => {
    expect(step(plan, progress(), 0.9)).toEqual({ kind: "late" });
    expect(step(plan, progress([exit(0)]), 0.9)).toEqual({ kind: "late" });
    expect(step(plan, progress([exit(0)]), -5)).toEqual({ kind: "late" });
  });

  test("an option that was stepped down stays there, also when time comes free", () => {
    const stepped = progress([exit(0)], { ceiling: { option: 0, target: 1 } });
    expect(step(plan, stepped, 10)).toEqual({ kind: "run", option: 0, rung: 1, target: 1, workMs: 1 });
    expect(step(plan, progress([exit(0), exit(1)], { ceiling: { option: 0, target: 1 } }), 10)).toEqual({
      kind: "late",
    });
    // Another option is another decision of the plan, and another demand test.
    const deeper = planOf([at(1), at(2)], [0, 1, "stop"]);
    const sent = progress([exit(0), exit(1)], { ceiling: { option: 0, target: 1 } });
    expect(step(deeper, sent, 10)).toEqual({ kind: "run", option: 1, rung: 2, target: 2, workMs: 1 });
  });

  test("the least an option accepts is what its floor takes", () => {
    expect(leastWorkMs(application, plan, progress())).toBe(1);
    expect(leastWorkMs(application, planOf([at(2, { minRung: 1 })], []), progress())).toBe(2);
    expect(leastWorkMs(application, plan, progress([], { evidence: [exit(1)] }))).toBe(3);
    expect(leastWorkMs(application, plan, progress([exit(0, 0), exit(1), exit(2)]))).toBe(0);
    expect(leastWorkMs(application, planOf([onNode], []), progress())).toBe(0);
  });

  test("a rung below the option's floor is not worth running for", () => {
    const strict = planOf([at(2, { minRung: 1 })], [0, 0, "stop"]);
    expect(step(strict, progress(), 1.5)).toEqual({ kind: "late" });
    expect(step(strict, progress(), 2)).toEqual({ kind: "run", option: 0, rung: 0, target: 1, workMs: 2 });
  });

  test("what is held elsewhere is not run for again, but passed through where its tensor is not here", () => {
    const held = progress([], { evidence: [exit(0)] });
    expect(step(plan, held, 1.5)).toEqual({ kind: "late" });
    expect(step(plan, held, 2)).toEqual({ kind: "run", option: 0, rung: 0, target: 1, workMs: 2 });
    expect(step(planOf([at(1)], [0]), progress([], { evidence: [exit(1)] }), 10)).toEqual({ kind: "stop" });
  });
});

describe("where a job starts", () => {
  test("from a cut, only the stages after it run", () => {
    const plan = planOf([at(2, { from: 0 })], ["stop", 0, "stop"]);
    const fromCut = progress([], { from: 0 });
    expect(step(plan, fromCut, 10)).toEqual({ kind: "run", option: 0, rung: 1, target: 2, workMs: 2 });
  });

  test("an edge option that needs a tensor not held here goes back to the caller", () => {
    const variant = ladder();
    (variant.rungs[3] as { tiers: string[] }).tiers = ["edge", "node"];
    const plan = planOf([at(1, { from: 0 }), at(3)], [0, 1, "stop", "stop"]);
    expect(nextStep(variant, plan, progress([exit(1)], { from: 0 }), 99)).toEqual({ kind: "escalate", option: 1 });
    // With the input here it runs.
    const fromInput = progress([exit(0), exit(1)]);
    expect(nextStep(variant, plan, fromInput, 99)).toMatchObject({ kind: "run", rung: 3, target: 3 });
  });
});

test("whatever the plan, a job ends: each step runs a new stage that fits, and time only shrinks", () => {
  const choice = fc.oneof(fc.constant<"stop">("stop"), fc.integer({ min: 0, max: 3 }));
  const option = fc
    .record({ rung: fc.integer({ min: 0, max: 2 }), floor: fc.integer({ min: 0, max: 2 }), edge: fc.boolean() })
    .map(({ rung, floor, edge }) =>
      edge ? at(rung, { minRung: Math.min(rung, floor) }) : at(rung, { at: { tier: "node", node: "n" } }),
    );
  const table = fc.array(fc.array(choice, { minLength: 3, maxLength: 3 }), { minLength: 3, maxLength: 3 });
  const bins = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(
      fc.array(option, { minLength: 1, maxLength: 4 }),
      table,
      bins,
      fc.double({ min: 0, max: 5, noNaN: true }),
      (options, next, bin, budgetMs) => {
        const plan = planOf([at(2), ...options], next);
        const exits: ExitResult[] = [];
        let leftMs = budgetMs;
        for (let taken = 0; ; taken++) {
          expect(taken).toBeLessThanOrEqual(3);
          const decision = step(plan, progress(exits), leftMs);
          if (decision.kind !== "run") break;
          expect(decision.workMs).toBeLessThanOrEqual(leftMs);
          expect(exits.map((done) => done.exit)).not.toContain(decision.rung);
          leftMs -= chainReferenceMs(application, [decision.rung], "edge");
          exits.push(exit(decision.rung, bin[decision.rung]));
        }
        expect(leftMs).toBeGreaterThanOrEqual(0);
        // Room for the first stage is room for an answer.
        if (budgetMs >= 1) expect(exits.length).toBeGreaterThan(0);
      },
    ),
  );
});
