/** Which cells are taken apart, and the figures of each kind of them. */
import { fullGrid, type CellPlan } from "../sim/grid.ts";
import type { Cell } from "../sim/setting.ts";
import { STEPS, type Gap, type GapFile } from "./results.ts";

export type Step = (typeof STEPS)[number];

/** Cells that differ only in their users, together; in % of their requests. */
export type GapRow = Omit<Cell, "users"> & {
  bound: number;
  right: Record<Step, number>;
  missed: Record<Step, number>;
};

/** Few users and many: what they tell apart is alike in between. */
export const USERS = [8, 32];

export const BOUND_NAME = "information bound";
export const STEP_NAMES: Record<Step, string> = {
  foresight: "scheduled, all known",
  arriving: "… as they arrive",
  unseen: "… confidences unknown",
  steady: "Dystri, nothing varies",
  dystri: "Dystri",
};

/** Heads of tables: of answers that are right, and of requests that are missed. */
export const RIGHT_HEAD = ["cells", BOUND_NAME, ...STEPS.map((step) => STEP_NAMES[step])];
export const MISSED_HEAD = ["cells", ...STEPS.map((step) => STEP_NAMES[step])];

/** The cells that are taken apart. */
export function gapCells(): CellPlan[] {
  return fullGrid([]).cells.filter(({ variation, cell }) => variation.name === "" && USERS.includes(cell.users));
}

/** In the order of the grid. */
export function gapRows(file: GapFile): GapRow[] {
  const known = gapCells().flatMap(({ key, cell }) =>
    Object.values(file.cells[key] ?? {}).map((gap) => ({ cell, gap })),
  );
  const groups = Map.groupBy(known, ({ cell: { workload, load, deadlineMs } }) => `${workload} ${load} ${deadlineMs}`);
  return [...groups.values()].flatMap((ones) => {
    const [first] = ones;
    if (!first) return [];
    const { workload, load, deadlineMs } = first.cell;
    const share = (of: (gap: Gap) => number): number => {
      const sum = (what: (gap: Gap) => number): number => ones.reduce((total, { gap }) => total + what(gap), 0);
      return (100 * sum(of)) / sum(({ requests }) => requests);
    };
    const eachStep = (of: (gap: Gap, step: Step) => number): Record<Step, number> =>
      Object.fromEntries(STEPS.map((step) => [step, share((gap) => of(gap, step))])) as Record<Step, number>;
    return [
      {
        workload,
        load,
        deadlineMs,
        bound: share(({ bound }) => bound),
        right: eachStep((gap, step) => gap[step].right),
        missed: eachStep((gap, step) => gap.requests - gap[step].onTime),
      },
    ];
  });
}

/** As texts: what is right and on time in each step. */
export function rightTexts(rows: readonly GapRow[]): string[][] {
  return rows.map((row) => [nameOf(row), row.bound.toFixed(2), ...STEPS.map((step) => row.right[step].toFixed(2))]);
}

/** The same of what has no answer on time. */
export function missedTexts(rows: readonly GapRow[]): string[][] {
  return rows.map((row) => [nameOf(row), ...STEPS.map((step) => row.missed[step].toFixed(2))]);
}

function nameOf({ workload, load, deadlineMs }: GapRow): string {
  return `${workload}, load ${load}, ${deadlineMs} ms`;
}
