/** What a plan weighed, in the words of replies: exits counted from 1, milliseconds to the microsecond. */
import type { Application } from "../../protocol/application.ts";
import type { Weighed } from "../../protocol/plan.ts";
import { shownMs } from "./context.ts";

export type ShownCandidate = {
  tier: string;
  node: string | null;
  exit: number;
  rung: string;
  /** "input", or the exit whose tensor is resumed from. */
  from: "input" | number;
  predicted_ms: number;
  /** The 95th percentile, which feasibility was decided on. */
  tail_ms: number;
  expected_accuracy: number;
  /** What a millisecond of the machine costs this user, in accuracy; and what the work costs at that. */
  price: number;
  cost: number;
  verdict: Weighed["verdict"];
};

export function shownCandidates(application: Application, weighed: readonly Weighed[]): ShownCandidate[] {
  return weighed.map(({ at, rung, from, predictedMs, tailMs, accuracy, price, cost, verdict }) => ({
    tier: at.tier,
    node: at.tier === "node" ? at.node : null,
    exit: rung + 1,
    rung: application.rungs[rung]?.name ?? "",
    from: from === "input" ? "input" : from + 1,
    predicted_ms: shownMs(predictedMs),
    tail_ms: shownMs(tailMs),
    expected_accuracy: accuracy,
    price,
    cost,
    verdict,
  }));
}
