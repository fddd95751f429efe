/**
 * Which work can never be crowded out. Most devices and links are idle most of the time; what happens there needs no row
 * in the linear programme.
 */
import { type BoundProblem, type Resource, type Use, withOptions } from "./problem.ts";

/** The most one request can ask of one resource, in the least room: `workMs` of its largest option in the overlap of all. */
type Demand = { releaseAt: number; dueAt: number; workMs: number };

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
  const kept = problem.resources.map((resource, index) => crowdedRequests(problem, resource, index));
  return withOptions(problem, (options, request) =>
    options.map(({ value, uses }) => ({ value, uses: uses.filter(({ resource }) => kept[resource]?.has(request)) })),
  );
}

/** Requests whose uses of the resource must stay. */
function crowdedRequests({ requests }: BoundProblem, { speed }: Resource, index: number): Set<number> {
  const uses = requests.map(({ options }) =>
    options.map((option) => option.uses.filter((use) => use.resource === index)),
  );
  const demands = uses.map(demandOf);
  const asking = [...demands.keys()].filter((request) => demands[request] !== undefined);
  const { periods, periodOf } = busyPeriods(asking, demands as (Demand | undefined)[], speed);
  for (const request of asking) {
    const period = periods[periodOf.get(request) as number] as BusyPeriod;
    for (const { releaseAt, dueAt } of (uses[request] as Use[][]).flat()) {
      period.reachesFrom = Math.min(period.reachesFrom, releaseAt);
      period.reachesTo = Math.max(period.reachesTo, dueAt);
    }
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

/** Undefined where no option uses the resource. */
function demandOf(options: readonly (readonly Use[])[]): Demand | undefined {
  const all = options.flat();
  if (all.length === 0) return undefined;
  return {
    releaseAt: Math.max(...all.map(({ releaseAt }) => releaseAt)),
    dueAt: Math.min(...all.map(({ dueAt }) => dueAt)),
    workMs: Math.max(...options.map((uses) => uses.reduce((sum, { workMs }) => sum + workMs, 0))),
  };
}

/** Serves the demands by earliest due time, pre-emptively, at full speed. */
function busyPeriods(
  asking: readonly number[],
  demands: readonly (Demand | undefined)[],
  speed: number,
): { periods: BusyPeriod[]; periodOf: Map<number, number> } {
  const demand = (request: number): Demand => demands[request] as Demand;
  const order = [...asking].sort((a, b) => demand(a).releaseAt - demand(b).releaseAt);
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
  for (const request of order) {
    const { releaseAt, dueAt, workMs } = demand(request);
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
