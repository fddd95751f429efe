/** What `npm run bench:sim` has left on disk. */
import { existsSync, globSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { FORMAT, type CellFile } from "../sim/results.ts";

export const SET_NAMES = ["full", "quick", "trace"] as const;
export type SetName = (typeof SET_NAMES)[number];

/** Cells of one grid that the same code has made. */
export type ResultSet = {
  name: SetName;
  fingerprint: string;
  cells: CellFile[];
  /** Files that other code has made: not used. */
  leftOut: number;
  /** When the first and the last of the files were written. */
  from: Date;
  until: Date;
};

/** The cells of the code that wrote last; null where there is none. `folder` is .dystri/bench/sim. */
export function readSet(folder: string, name: SetName): ResultSet | null {
  const cwd = path.join(folder, name);
  if (!existsSync(cwd)) return null;
  const files = globSync("*.json", { cwd })
    .sort()
    .map((file) => {
      const full = path.join(cwd, file);
      return { cell: JSON.parse(readFileSync(full, "utf8")) as CellFile, writtenAt: statSync(full).mtimeMs };
    })
    .filter(({ cell }) => cell.format === FORMAT && cell.seeds.length > 0);
  const newest = files.toSorted((a, b) => b.writtenAt - a.writtenAt)[0];
  if (!newest) return null;
  const { fingerprint } = newest.cell;
  const used = files.filter(({ cell }) => cell.fingerprint === fingerprint);
  const times = used.map(({ writtenAt }) => writtenAt);
  return {
    name,
    fingerprint,
    cells: used.map(({ cell }) => cell).sort(inOrder),
    leftOut: files.length - used.length,
    from: new Date(Math.min(...times)),
    until: new Date(Math.max(...times)),
  };
}

function inOrder(a: CellFile, b: CellFile): number {
  return (
    compareText(a.variation, b.variation) ||
    compareText(b.cell.workload, a.cell.workload) ||
    a.cell.users - b.cell.users ||
    a.cell.load - b.cell.load ||
    a.cell.deadlineMs - b.cell.deadlineMs
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
