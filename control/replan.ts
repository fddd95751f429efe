/** A plan after one of its options has failed: the same table, leading nowhere that is known not to answer. */
import type { Option, Plan } from "../protocol/plan.ts";

/**
 * Replaces every step to the machine of `options[failed]` by `options[instead]` where that is deeper than the exit the
 * step leaves from, and by `stop` elsewhere. `instead` −1 stops everywhere. Options keep their indices.
 */
export function withoutMachineOf(plan: Plan, failed: number, instead: number): Plan {
  const gone = plan.options[failed];
  if (!gone) return plan;
  const onMachine = new Set(plan.options.flatMap((option, index) => (sameMachine(option, gone) ? [index] : [])));
  const depth = plan.options[instead]?.rung ?? -1;
  const next = plan.next.map((row, exit) =>
    row.map((step) => (step === "stop" || !onMachine.has(step) ? step : depth > exit ? instead : "stop")),
  );
  return { ...plan, next };
}

function sameMachine(a: Option, b: Option): boolean {
  return a.at.tier === b.at.tier && (a.at.tier !== "node" || (b.at.tier === "node" && a.at.node === b.at.node));
}
