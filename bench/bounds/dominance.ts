/**
 * Options nobody needs, because another, or a mixture of two others, is worth as much and asks for no more of anything.
 */
import { type BoundOption, type BoundProblem, type Use, withOptions } from "./problem.ts";

/** Per option: the use of each resource it needs, if it needs none twice. Others neither dominate nor are dominated. */
type Profile = { value: number; uses: Map<number, Use> };

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
    const profiles = options.map(profileOf);
    let kept = [...options.keys()];
    // Cheap and worthless first: of two equal options the later one stays.
    for (const b of [...kept].sort((x, y) => (options[x] as BoundOption).value - (options[y] as BoundOption).value)) {
      const target = profiles[b];
      if (!target) continue;
      const others = kept.flatMap((a) => (a !== b && profiles[a] && covers(profiles[a], target) ? [profiles[a]] : []));
      if (isDominated(target, others, kind)) kept = kept.filter((a) => a !== b);
    }
    return kept.map((i) => options[i] as BoundOption);
  });
}

function profileOf({ value, uses }: BoundOption): Profile | undefined {
  const byResource = new Map(uses.map((use) => [use.resource, use]));
  return byResource.size === uses.length ? { value, uses: byResource } : undefined;
}

/** Whether A uses only what B uses, and each in a window that contains B's. Work is not looked at. */
function covers(a: Profile, b: Profile): boolean {
  return [...a.uses.values()].every((use) => {
    const narrow = b.uses.get(use.resource);
    return narrow !== undefined && use.releaseAt <= narrow.releaseAt && narrow.dueAt <= use.dueAt;
  });
}

function isDominated(b: Profile, others: readonly Profile[], kind: Dominance): boolean {
  if (others.some((a) => isMixed(b, a, a))) return true;
  if (kind === "whole") return false;
  const nothing: Profile = { value: 0, uses: new Map() };
  const candidates = [nothing, ...others];
  return candidates.some((a, i) => candidates.slice(i + 1).some((c) => isMixed(b, a, c)));
}

/** Whether some θ in [0, 1] makes θ·A + (1 − θ)·C worth at least B, with no more work anywhere. */
function isMixed(b: Profile, a: Profile, c: Profile): boolean {
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
  for (const [resource, { workMs }] of b.uses) {
    atMost(a.uses.get(resource)?.workMs ?? 0, c.uses.get(resource)?.workMs ?? 0, workMs);
  }
  return low <= high;
}
