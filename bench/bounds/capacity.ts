/**
 * What limited time means for a choice of options, as rows of a linear programme.
 *
 * **Windows.** In any schedule a resource does at most speed × (e − s) of work in [s, e], and the work of every use whose
 * own window lies inside [s, e] is done there: Σ work ≤ speed × (e − s). Each such row holds for every schedule,
 * pre-emptive or not, so with any set of windows the optimum is at least what any schedule is worth: leaving windows
 * out, or widening the windows of uses, can only raise it.
 *
 * **Cells** say the same for all windows at once, in far fewer entries. Cut time where some use's window begins or ends;
 * spread the work of each use over the cells of its window; a cell of length t holds at most speed × t. Work that can be
 * so spread satisfies the row of every window, since what lies inside a window is spread over its cells. Conversely, if
 * every window's row holds, the work can be spread: by max-flow min-cut it cannot only if some set of uses has more work
 * than the cells they reach can hold, and the runs of adjoining cells of such a set are windows, one of which is then
 * over-full. So cells give the optimum of all windows. test/core/bounds.test.ts has both forms agree.
 */
import type { BoundProblem, Use } from "./problem.ts";

/** All uses of one resource in one window; what they ask for counts together. */
export type Group = { resource: number; releaseAt: number; dueAt: number };

export type Column = { request: number; value: number; uses: { group: number; workMs: number }[]; way?: number };

/** Work of `groups` done here: at most `capacity`, in milliseconds of work. */
export type Limit = { capacity: number; groups: number[] };

/** `cells`: the work of a group is shared out over its limits. `windows`: it counts in full in each of them. */
export type CapacityForm = "cells" | "windows";

export type Capacity = { form: CapacityForm; groups: Group[]; columns: Column[]; limits: Limit[] };

/** `lengthsMs`: of the windows to write; without it, all that begin where a use begins and end where one ends. */
export type CapacityRequest = { form: "cells" } | { form: "windows"; lengthsMs?: readonly number[] };

export function capacityOf(problem: BoundProblem, wanted: CapacityRequest): Capacity {
  const { groups, columns } = groupUses(problem);
  const perResource = problem.resources.map((): number[] => []);
  for (const [group, { resource }] of groups.entries()) (perResource[resource] as number[]).push(group);
  const work = wanted.form === "windows" ? workPerGroup(groups.length, columns) : [];
  const limits = perResource.flatMap((members, resource) => {
    const { speed } = problem.resources[resource] as { speed: number };
    return wanted.form === "cells"
      ? cellLimits(groups, members, speed)
      : windowLimits(groups, members, speed, work, wanted.lengthsMs);
  });
  return { form: wanted.form, groups, columns, limits };
}

/** What a millisecond of work costs each group when each limit has a price: the cheapest cell, or all windows around it. */
export function groupPrices({ form, groups, limits }: Capacity, limitPrices: ArrayLike<number>): Float64Array {
  const prices = new Float64Array(groups.length).fill(form === "cells" ? Infinity : 0);
  for (const [limit, { groups: members }] of limits.entries()) {
    const price = limitPrices[limit] as number;
    for (const group of members) {
      const soFar = prices[group] as number;
      prices[group] = form === "cells" ? Math.min(soFar, price) : soFar + price;
    }
  }
  return prices;
}

function groupUses({ requests }: BoundProblem): { groups: Group[]; columns: Column[] } {
  const groups: Group[] = [];
  const numbers = new Map<string, number>();
  const groupOf = ({ resource, releaseAt, dueAt }: Use): number => {
    const key = `${resource} ${releaseAt} ${dueAt}`;
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, groups.length);
    return groups.push({ resource, releaseAt, dueAt }) - 1;
  };
  const columns = requests.flatMap(({ options }, request) =>
    options.map(({ uses, ...option }): Column => {
      const workMs = new Map<number, number>();
      for (const use of uses) {
        const group = groupOf(use);
        workMs.set(group, (workMs.get(group) ?? 0) + use.workMs);
      }
      return { ...option, request, uses: [...workMs].map(([group, ms]) => ({ group, workMs: ms })) };
    }),
  );
  return { groups, columns };
}

function cellLimits(groups: readonly Group[], members: readonly number[], speed: number): Limit[] {
  const bounds = [...new Set(members.flatMap((i) => [(groups[i] as Group).releaseAt, (groups[i] as Group).dueAt]))];
  bounds.sort((a, b) => a - b);
  const cellAt = new Map(bounds.map((at, cell) => [at, cell]));
  const cells = bounds.slice(1).map((end, i): Limit => {
    return { capacity: speed * (end - (bounds[i] as number)), groups: [] };
  });
  for (const member of members) {
    const { releaseAt, dueAt } = groups[member] as Group;
    const end = cellAt.get(dueAt) as number;
    for (let cell = cellAt.get(releaseAt) as number; cell < end; cell++) (cells[cell] as Limit).groups.push(member);
  }
  return cells.filter(({ groups: inside }) => inside.length > 0);
}

/** Columns that use each group, with their work. */
type GroupWork = { column: Column; workMs: number }[][];

function workPerGroup(groups: number, columns: readonly Column[]): GroupWork {
  const work: GroupWork = Array.from({ length: groups }, () => []);
  for (const column of columns) {
    for (const { group, workMs } of column.uses) (work[group] as GroupWork[number]).push({ column, workMs });
  }
  return work;
}

/**
 * Windows drawn tight around the uses inside them, which keeps their work and lowers what they hold. A window is left
 * out when it holds even the largest option of every request inside it.
 */
function windowLimits(
  groups: readonly Group[],
  members: readonly number[],
  speed: number,
  work: GroupWork,
  lengthsMs: readonly number[] | undefined,
): Limit[] {
  const group = (member: number): Group => groups[member] as Group;
  const byDue = [...members].sort((a, b) => group(a).dueAt - group(b).dueAt);
  const starts = [...new Set(members.map((member) => group(member).releaseAt))];
  return starts.flatMap((startAt) => {
    const behind = byDue.filter((member) => group(member).releaseAt >= startAt);
    const ends = lengthsMs
      ? lengthsMs.map((ms) => behind.findLast((member) => group(member).dueAt <= startAt + ms))
      : behind;
    const endAts = ends.flatMap((member) => (member === undefined ? [] : [group(member).dueAt]));
    const most = new MostWork();
    const limits: Limit[] = [];
    let taken = 0;
    let beginsHere = false;
    for (const endAt of [...new Set(endAts)].sort((a, b) => a - b)) {
      for (; taken < behind.length && group(behind[taken] as number).dueAt <= endAt; taken++) {
        const member = behind[taken] as number;
        beginsHere ||= group(member).releaseAt === startAt;
        for (const { column, workMs } of work[member] as GroupWork[number]) most.add(column, workMs);
      }
      const capacity = speed * (endAt - startAt);
      if (beginsHere && most.workMs > capacity) limits.push({ capacity, groups: behind.slice(0, taken) });
    }
    return limits;
  });
}

/** The most work any choice of one option per request can bring into a window that grows. */
class MostWork {
  readonly #columns = new Map<Column, number>();
  readonly #requests = new Map<number, number>();
  workMs = 0;

  add(column: Column, workMs: number): void {
    const ofColumn = (this.#columns.get(column) ?? 0) + workMs;
    this.#columns.set(column, ofColumn);
    const ofRequest = this.#requests.get(column.request) ?? 0;
    if (ofColumn <= ofRequest) return;
    this.#requests.set(column.request, ofColumn);
    this.workMs += ofColumn - ofRequest;
  }
}
