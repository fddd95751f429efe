/** Which cells are taken apart, and a line of figures for each kind of them. */
import { fullGrid, type CellPlan } from "../sim/grid.ts";
import { STEPS, type Gap, type GapFile } from "./results.ts";

/** Few users and many: what they tell apart is alike in between. */
export const USERS = [8, 32];

const STEP_NAMES: Record<(typeof STEPS)[number], string> = {
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

/** Heads of the columns: of answers that are right, and of requests that are missed. */
export const RIGHT_HEAD = ["cells", "information bound", ...STEPS.map((step) => STEP_NAMES[step])];
export const MISSED_HEAD = ["cells", ...STEPS.map((step) => STEP_NAMES[step])];

/** A row for cells that differ only in their users: what is right and on time in each step, in % of their requests. */
export function rightRows(file: GapFile): string[][] {
  return rows(file, [({ bound }) => bound, ...STEPS.map((step) => (gap: Gap) => gap[step].right)]);
}

/** The same of what has no answer on time. */
export function missedRows(file: GapFile): string[][] {
  return rows(
    file,
    STEPS.map((step) => (gap: Gap) => gap.requests - gap[step].onTime),
  );
}

function rows(file: GapFile, columns: readonly ((gap: Gap) => number)[]): string[][] {
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
    return [name, ...columns.map((of) => ((100 * sum(of)) / requests).toFixed(2))];
  });
}
