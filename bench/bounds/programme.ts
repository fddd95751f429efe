/** The linear programme of a component, as rows and columns. */
import type { Capacity, Column, Limit } from "./capacity.ts";
import type { Component } from "./components.ts";
import { LinearProgramme } from "./solver.ts";

export type Written = {
  programme: LinearProgramme;
  /** The first columns are the options, in the component's order. */
  options: number;
  /** Row of each limit of the component, in its order. */
  limitRows: number[];
};

/**
 * Maximise Σ value·x over 0 ≤ x with Σ x ≤ 1 for each request, and the limits. Between options and limits stand columns
 * with the work of each group, one per group or, where it is shared out, one per group and cell; so a group's many
 * options are listed once and not in every limit.
 */
export function writeProgramme({ form, columns, limits }: Capacity, component: Component, integral: boolean): Written {
  const programme = new LinearProgramme();
  const entries = <K>(map: Map<K, [number, number][]>, key: K): [number, number][] => {
    const found = map.get(key) ?? [];
    map.set(key, found);
    return found;
  };
  const ofRequest = new Map<number, [number, number][]>();
  const ofGroup = new Map<number, [number, number][]>();
  for (const number of component.columns) {
    const { request, value, uses } = columns[number] as Column;
    const x = programme.addColumn(value, 1, integral);
    entries(ofRequest, request).push([x, 1]);
    for (const { group, workMs } of uses) entries(ofGroup, group).push([x, workMs]);
  }
  for (const row of ofRequest.values()) if (row.length > 1) programme.addRow(1, row);

  const shared = new Map<number, [number, number][]>();
  const limitRows = component.limits.map((number) => {
    const { capacity, groups } = limits[number] as Limit;
    const row = groups.map((group): [number, number] => {
      const shares = entries(shared, group);
      const known = form === "windows" ? shares[0] : undefined;
      const share: [number, number] = known ?? [programme.addColumn(0), -1];
      if (!known) shares.push(share);
      return [share[0], 1];
    });
    return programme.addRow(capacity, row);
  });
  for (const [group, shares] of shared) programme.addRow(0, [...(ofGroup.get(group) ?? []), ...shares]);
  return { programme, options: component.columns.length, limitRows };
}
