/**
 * Which work can never be crowded out. Most devices and links are idle most of the time; what happens there needs no row
 * in the linear programme.
 */
import { type BoundProblem, type Resource, type Use, withOptions } from "./problem.ts";

/**
 * The most one request can ask of one resource, in the least room: `workMs` of its largest option in the overlap of all.
 * Windows reach from `reachesFrom` to `reachesTo`.
 */
type Demand = { releaseAt: number; dueAt: number; workMs: number; reachesFrom: number; reachesTo: number };

const NO_DEMAND: Demand = {
  releaseAt: -Infinity,
  dueAt: Infinity,
  workMs: 0,
  reachesFrom: Infinity,
  reachesTo: -Infinity,
};

/** A time during which a resource fed with all demands works without pause, and how far the windows of these requests reach. */
type BusyPeriod = { startAt: number; endAt: number; crowded: boolean; reachesFrom: number; reachesTo: number };

/**
 * The same without uses that cannot bind; the optimum is the same, fractional or whole.
 *
 * Why. Give the resource every request's demand at once and let it work by earliest due time. Busy periods in which all
 * is done in time are schedules of whatever options may be chosen, for these need less work in wider windows; and they
 * occupy nothing outside themselves. So if no other use's window reaches into such a period, its uses may go. Periods
 * with a miss are crowded, and so is every period that a window of a crowded period's requests reaches into.
 */
export function withoutIdle(problem: BoundProblem): BoundProblem {
  const demands = demandsOf(problem);
  const kept = problem.resources.map((resource, index) => crowdedRequests(demands[index] ?? new Map(), resource));
  return withOptions(problem, (options, request) =>
    options.map(({ uses, ...option }) => ({
      ...option,
      uses: uses.filter(({ resource }) => kept[resource]?.has(request)),
    })),
  );
}

/** Per resource, of the requests that have an option which uses it. */
function demandsOf({ resources, requests }: BoundProblem): Map<number, Demand>[] {
  const found = resources.map(() => new Map<number, Demand>());
  for (const [request, { options }] of requests.entries()) {
    for (const { uses } of options) {
      for (const { resource, releaseAt, dueAt } of uses) {
        const demands = found[resource] as Map<number, Demand>;
        const demand = demands.get(request) ?? { ...NO_DEMAND };
        demands.set(request, demand);
        demand.releaseAt = Math.max(demand.releaseAt, releaseAt);
        demand.dueAt = Math.min(demand.dueAt, dueAt);
        demand.workMs = Math.max(demand.workMs, workOn(uses, resource));
        demand.reachesFrom = Math.min(demand.reachesFrom, releaseAt);
        demand.reachesTo = Math.max(demand.reachesTo, dueAt);
      }
    }
  }
  return found;
}

function workOn(uses: readonly Use[], resource: number): number {
  return uses.reduce((sum, use) => (use.resource === resource ? sum + use.workMs : sum), 0);
}

/** Requests whose uses of the resource must stay. */
function crowdedRequests(demands: ReadonlyMap<number, Demand>, { speed }: Resource): Set<number> {
  const asking = [...demands.keys()];
  const { periods, periodOf } = busyPeriods(demands, speed);
  for (const [request, { reachesFrom, reachesTo }] of demands) {
    const period = periods[periodOf.get(request) as number] as BusyPeriod;
    period.reachesFrom = Math.min(period.reachesFrom, reachesFrom);
    period.reachesTo = Math.max(period.reachesTo, reachesTo);
  }
  const crowded = periods.flatMap((period, i) => (period.crowded ? [i] : []));
  // Grows while it is read: what a crowded period reaches into is looked at in its turn.
  for (const at of crowded) {
    const { reachesFrom, reachesTo } = periods[at] as BusyPeriod;
    const spread = (i: number): void => {
      const period = periods[i] as BusyPeriod;
      if (!period.crowded) crowded.push(i);
      period.crowded = true;
    };
    for (let i = at - 1; i >= 0 && (periods[i] as BusyPeriod).endAt > reachesFrom; i--) spread(i);
    for (let i = at + 1; i < periods.length && (periods[i] as BusyPeriod).startAt < reachesTo; i++) spread(i);
  }
  return new Set(asking.filter((request) => periods[periodOf.get(request) as number]?.crowded));
}

/** Serves the demands by earliest due time, pre-emptively, at full speed. */
function busyPeriods(
  demands: ReadonlyMap<number, Demand>,
  speed: number,
): { periods: BusyPeriod[]; periodOf: Map<number, number> } {
  const order = [...demands].sort(([, a], [, b]) => a.releaseAt - b.releaseAt);
  const periods: BusyPeriod[] = [];
  const periodOf = new Map<number, number>();
  const waiting: { dueAt: number; leftMs: number }[] = [];
  let now = -Infinity;
  const serveUntil = (untilAt: number): void => {
    while (waiting.length > 0 && now < untilAt) {
      const next = waiting[waiting.length - 1] as { dueAt: number; leftMs: number };
      const endAt = Math.min(untilAt, now + next.leftMs / speed);
      next.leftMs = endAt < untilAt ? 0 : next.leftMs - (endAt - now) * speed;
      now = endAt;
      const period = periods[periods.length - 1] as BusyPeriod;
      period.endAt = now;
      if (now > next.dueAt) period.crowded = true;
      if (next.leftMs <= 0) waiting.pop();
    }
  };
  for (const [request, { releaseAt, dueAt, workMs }] of order) {
    serveUntil(releaseAt);
    now = Math.max(now, releaseAt);
    if (waiting.length === 0)
      periods.push({ startAt: now, endAt: now, crowded: false, reachesFrom: now, reachesTo: now });
    periodOf.set(request, periods.length - 1);
    // Latest due time first, so that the earliest is at the end.
    let at = waiting.length;
    while (at > 0 && (waiting[at - 1] as { dueAt: number }).dueAt < dueAt) at--;
    waiting.splice(at, 0, { dueAt, leftMs: workMs });
  }
  serveUntil(Infinity);
  return { periods, periodOf };
}
