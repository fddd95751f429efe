/** The worked request of docs/control.md: its figures are these. */
import { expect, test } from "vitest";
import { edgeMachine, nodeMachine } from "../../control/machine.ts";
import { makePlan } from "../../control/planner.ts";
import { userPrice } from "../../control/standing.ts";
import { ladder, nodeEntry } from "../support/ladder.ts";

function planFor(nodeUse: number) {
  const entry = nodeEntry("n1", { price: 0.02, tail: 1.2 });
  const link = { meanMs: 10, deviationMs: 2, msPerKiB: 0.8 };
  const reply = makePlan({
    application: ladder(),
    planId: "worked",
    remainingMs: 100,
    wishes: { deadlinePolicy: "best_effort" },
    home: edgeMachine(ladder(), { slowdown: 1, overheadMs: 1, spreadMs: 1, tail: 1 }, 0, 0),
    away: [nodeMachine(entry, ladder(), link, 8, userPrice(entry.load.price, nodeUse, 0))],
    evidence: [],
    weight: 1,
    explain: true,
  });
  if (!reply.ok) throw new Error(reply.detail);
  return reply.plan;
}

const goals = (plan: ReturnType<typeof planFor>) =>
  plan.next[0]?.map((step) => (step === "stop" ? "stop" : `e${(plan.options[step]?.rung ?? 0) + 1}`));

test("the figures of docs/control.md", () => {
  const plan = planFor(1.5);
  expect(plan.marginMs).toBe(5);
  const heavy = plan.explanation?.find(({ at, rung }) => at.tier === "node" && rung === 3);
  expect(heavy?.predictedMs).toBeCloseTo(23.05, 2);
  expect(heavy?.tailMs).toBeCloseTo(23.05 + Math.hypot(4.025, 2.6), 3);
  expect(heavy?.price).toBeCloseTo(0.03, 9);
  expect(heavy?.cost).toBeCloseTo(0.15, 9);
  expect(goals(plan)).toEqual(["e4", "e3", "stop"]);
  expect(goals(planFor(3))).toEqual(["e3", "e3", "stop"]);
  expect(goals(planFor(0))).toEqual(["e4", "e4", "stop"]);
});
