/** What this isolate last heard of each platform's inference Worker, with its own calls since added. */
import { EdgeBelief, type EdgeReturn } from "../../control/edge-belief.ts";
import type { EdgeView } from "../../protocol/plan.ts";

const beliefs = new Map<string, EdgeBelief>();

/** The view to send along with a plan request; undefined before the first call. */
export function edgeView(platform: string, now: number): EdgeView | undefined {
  return beliefs.get(platform)?.view(now);
}

/** Counts a call that is about to be made; call the result when it has come back, with the new view if it brought one. */
export function outstanding(platform: string, workMs: number): EdgeReturn {
  let belief = beliefs.get(platform);
  if (!belief) beliefs.set(platform, (belief = new EdgeBelief()));
  return belief.sent(workMs);
}
