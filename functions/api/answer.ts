/** An answer in the words of its application: labels for numbers, exits counted from 1. */
import type { Application } from "../../protocol/application.ts";
import type { Tier } from "../../protocol/plan.ts";
import type { Served } from "./served.ts";

export type NamedAnswer = {
  label: string;
  /** Calibrated probability of `label`. */
  score: number;
  top: { label: string; score: number }[];
  /** Counted from 1; the rung of that place in the ladder. */
  exit: number;
  exits_total: number;
  rung: string;
  tier: Tier;
  /** Null unless a node answered. */
  node: string | null;
};

export function namedAnswer(application: Application, { answer, tier, node }: Served): NamedAnswer {
  const top = answer.top.map(([label, score]) => ({ label: application.labels[label] ?? String(label), score }));
  return {
    label: top[0]?.label ?? "",
    score: top[0]?.score ?? 0,
    top,
    exit: answer.exit + 1,
    exits_total: application.rungs.length,
    rung: application.rungs[answer.exit]?.name ?? "",
    tier,
    node,
  };
}
