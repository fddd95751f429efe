/** Which cells are taken apart, and a line of figures for each kind of them. */
import { fullGrid, type CellPlan } from "../sim/grid.ts";
import { STEPS, type Gap, type GapFile } from "./results.ts";

/** Few users and many: what they tell apart is alike in between. */
export const USERS = [8, 32];

export const STEP_NAMES: Record<(typeof STEPS)[number], string> = {
  bound: "information bound",
  foresight: "scheduled, all known",
  arriving: "… as they arrive",
  unseen: "… confidences unknown",
  steady: "Dystri, nothing varies",
  dystri: "Dystri",
};

/** The cells that are taken apart. */
export function gapCells(): CellPlan[] {
  return fullGrid([]).cells.filter(({ variation, cell }) => variation.name === "" && USERS.includes(cell.users));
}

/** A row for cells that differ only in their users: each step in % of their requests. */
export function gapRows(file: GapFile): string[][] {
  const known = gapCells().flatMap(({ key, cell }) =>
    Object.values(file.cells[key] ?? {}).map((gap) => ({ cell, gap })),
  );
  const groups = Map.groupBy(
    known,
    ({ cell: { workload, load, deadlineMs } }) => `${workload}, load ${load}, ${deadlineMs} ms`,
  );
  return [...groups].map(([name, ones]) => {
    const sum = (of: (gap: Gap) => number): number => ones.reduce((total, { gap }) => total + of(gap), 0);
    const requests = sum((gap) => gap.requests);
    return [name, ...STEPS.map((step) => ((100 * sum((gap) => gap[step])) / requests).toFixed(2))];
  });
}
