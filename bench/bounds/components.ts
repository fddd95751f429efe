/** Parts of a problem that share no limit: each is solved alone, and their optima add up. */
import type { Capacity, Column, Limit } from "./capacity.ts";

/** Numbers of columns and of limits that belong together. */
export type Component = { columns: number[]; limits: number[] };

/** Quiet times between bursts and resources nobody shares fall apart by themselves. */
export function componentsOf({ groups, columns, limits }: Capacity): Component[] {
  // Groups come first, then requests.
  const parent = new Map<number, number>();
  const rootOf = (item: number): number => {
    let root = item;
    for (let up = parent.get(root); up !== undefined; up = parent.get(root)) root = up;
    for (let at = item; at !== root;) {
      const up = parent.get(at) as number;
      parent.set(at, root);
      at = up;
    }
    return root;
  };
  const join = (a: number, b: number): void => {
    const [x, y] = [rootOf(a), rootOf(b)];
    if (x !== y) parent.set(x, y);
  };
  const request = (column: Column): number => groups.length + column.request;
  for (const column of columns) for (const { group } of column.uses) join(group, request(column));
  for (const {
    groups: [first, ...rest],
  } of limits)
    for (const group of rest) join(first as number, group);

  const components = new Map<number, Component>();
  const componentAt = (root: number): Component => {
    const found = components.get(root) ?? { columns: [], limits: [] };
    components.set(root, found);
    return found;
  };
  for (const [i, column] of columns.entries()) componentAt(rootOf(request(column))).columns.push(i);
  for (const [i, limit] of limits.entries()) componentAt(rootOf((limit as Limit).groups[0] as number)).limits.push(i);
  return [...components.values()];
}

/** What these columns would be worth without limits: every request gets its best. */
export function unlimited({ columns }: Capacity, numbers: Iterable<number>): number {
  const best = new Map<number, number>();
  for (const number of numbers) {
    const { request, value } = columns[number] as Column;
    best.set(request, Math.max(best.get(request) ?? 0, value));
  }
  return [...best.values()].reduce((a, b) => a + b, 0);
}
