import { expect, test } from "vitest";
import { pruned, withoutMachineOf } from "../../control/replan.ts";
import type { Option, Plan } from "../../protocol/plan.ts";

const option = (rung: number, node?: string): Option => ({
  rung,
  minRung: 0,
  at: node ? { tier: "node", node } : { tier: "edge" },
  from: "input",
  predictedMs: 1,
  workMs: 1,
});

const plan: Plan = {
  planId: "p",
  options: [option(0), option(2), option(3, "n1"), option(2, "n1"), option(3, "n2")],
  first: 0,
  next: [[2, 3, 4, 1], [2, "stop"], [2, 4], ["stop"]],
  otherwise: [2, 2, 1, 1, 1],
  marginMs: 1,
  edgeSlowdown: 1,
  weight: 1,
  reason: "",
};

test("steps to a failed machine lead to the fallback where it is deeper, and stop elsewhere", () => {
  expect(withoutMachineOf(plan, 2, 1).next).toEqual([[1, 1, 4, 1], [1, "stop"], ["stop", 4], ["stop"]]);
});

test("without a fallback they stop", () => {
  expect(withoutMachineOf(plan, 2, -1).next).toEqual([["stop", "stop", 4, 1], ["stop", "stop"], ["stop", 4], ["stop"]]);
});

test("an index that is not there changes nothing", () => {
  expect(withoutMachineOf(plan, 9, 1)).toBe(plan);
});

test("pruning drops what nothing leads to and keeps every lead", () => {
  // Option 1 is led to by nothing but option 2's fallback; option 4 by the table; option 3 by nothing once its step is gone.
  const sparse: Plan = { ...plan, next: [[2, "stop"], [4], [], []], otherwise: [-1, -1, 1, 1, 1] };
  const small = pruned(sparse, () => false);
  expect(small.options).toEqual([plan.options[0], plan.options[1], plan.options[2], plan.options[4]]);
  expect(small).toMatchObject({ first: 0, next: [[2, "stop"], [3], [], []], otherwise: [-1, -1, 1, 1] });
  expect(pruned(sparse, () => true)).toEqual(sparse);
});
