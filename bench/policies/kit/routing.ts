/** Which machine gets a request, for policies that leave the rest to it. */
import type { Known } from "./serving.ts";

/** The node, or the isolate where given, with the least wait; of equals the first. */
export function leastWaiting(
  nodes: readonly Known[],
  edge: Known | undefined,
  waitMs: (known: Known) => number,
): Known | null {
  let best: Known | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const known of edge ? [...nodes, edge] : nodes) {
    const ms = waitMs(known);
    if (ms < least) [best, least] = [known, ms];
  }
  return best;
}
