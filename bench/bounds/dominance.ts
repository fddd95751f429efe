/**
 * Options nobody needs, because another, or a mixture of two others, is worth as much and asks for no more of anything.
 */
import { type BoundOption, type BoundProblem, type Use, withOptions } from "./problem.ts";

/** What an option does for another: its worth, and the work it needs of each of the other's uses. */
type Offer = { value: number; workMs: readonly number[] };

/** `whole`: by single options only, so that the optimum in whole options stays. `mixed`: also by mixtures, for fractions. */
export type Dominance = "whole" | "mixed";

/**
 * The same without dominated options, one after the other; the optimum stays.
 *
 * Why. B may go where some share θ of A and 1 − θ of C (or of nothing at all) is worth at least as much as B, where each
 * use of A and C lies in a window that contains B's window of the same resource, and where the work so mixed is no more
 * than B's. Whatever window contains B's use then contains at least the work of the mixture, so moving a share from B to
 * the mixture raises no row and does not lower the objective. Each removal is made against options that are still there.
 */
export function withoutDominated(problem: BoundProblem, kind: Dominance): BoundProblem {
  return withOptions(problem, (options) => {
    // An option that needs a resource twice neither dominates nor is dominated.
    const simple = new Set(options.filter(({ uses }) => new Set(uses.map((use) => use.resource)).size === uses.length));
    let kept = options;
    // Cheap and worthless first: of two equal options the later one stays.
    for (const target of [...simple].sort((a, b) => a.value - b.value)) {
      const offers: Offer[] = [];
      for (const option of kept) {
        const offer = option !== target && simple.has(option) ? offerOf(option, target) : null;
        if (offer) offers.push(offer);
      }
      if (isDominated(target, offers, kind)) kept = kept.filter((option) => option !== target);
    }
    return kept;
  });
}

/** Null where the option uses anything that the target does not, or in a window that does not contain the target's. */
function offerOf({ value, uses }: BoundOption, target: BoundOption): Offer | null {
  if (uses.length > target.uses.length) return null;
  const workMs = target.uses.map(() => 0);
  for (const { resource, releaseAt, dueAt, workMs: ms } of uses) {
    const at = target.uses.findIndex((use) => use.resource === resource);
    const narrow = target.uses[at];
    if (!narrow || releaseAt > narrow.releaseAt || narrow.dueAt > dueAt) return null;
    workMs[at] = ms;
  }
  return { value, workMs };
}

function isDominated(target: BoundOption, offers: readonly Offer[], kind: Dominance): boolean {
  if (offers.some((a) => isMixed(target, a, a))) return true;
  if (kind === "whole") return false;
  const nothing: Offer = { value: 0, workMs: target.uses.map(() => 0) };
  const candidates = [nothing, ...offers];
  return candidates.some((c, i) => candidates.some((a, k) => k < i && isMixed(target, a, c)));
}

/** Whether some θ in [0, 1] makes θ·A + (1 − θ)·C worth at least B, with no more work anywhere. */
function isMixed(b: BoundOption, a: Offer, c: Offer): boolean {
  let [low, high] = [0, 1];
  /** Narrows to θ where θ·ofA + (1 − θ)·ofC ≤ limit. */
  const atMost = (ofA: number, ofC: number, limit: number): void => {
    const slope = ofA - ofC;
    const room = limit - ofC;
    if (slope > 0) high = Math.min(high, room / slope);
    else if (slope < 0) low = Math.max(low, room / slope);
    else if (room < 0) high = -1;
  };
  atMost(-a.value, -c.value, -b.value);
  for (let i = 0; i < b.uses.length && low <= high; i++) {
    atMost(a.workMs[i] as number, c.workMs[i] as number, (b.uses[i] as Use).workMs);
  }
  return low <= high;
}
