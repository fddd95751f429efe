/** What lies between the information bound and Dystri, for the report and its command: what `npm run bench:gap` found. */
import { STEPS, type Gap, type GapFile } from "../gap/results.ts";
import { fullGrid, type CellPlan } from "../sim/grid.ts";
import { markdownTable } from "./markdown.ts";
import { groupBy } from "./tables.ts";

/** Few users and many: what they tell apart is alike in between. */
const USERS = [8, 32];

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
  const groups = groupBy(
    known,
    ({ cell: { workload, load, deadlineMs } }) => `${workload}, load ${load}, ${deadlineMs} ms`,
  );
  return [...groups].map(([name, ones]) => {
    const sum = (of: (gap: Gap) => number): number => ones.reduce((total, { gap }) => total + of(gap), 0);
    const requests = sum((gap) => gap.requests);
    return [name, ...STEPS.map((step) => ((100 * sum((gap) => gap[step])) / requests).toFixed(2))];
  });
}

/** The report's section; empty where nothing was found out. */
export function gapText(file: GapFile): string {
  const rows = gapRows(file);
  if (rows.length === 0) return "";
  const cells = Object.keys(file.cells).length;
  const seeds = Math.max(...Object.values(file.cells).map((own) => Object.keys(own).length));
  return `## What lies between the bound and Dystri

\`npm run bench:gap\`: the same requests served by ever less knowledge, in ${cells} cells (${USERS.join(" and ")} users together), seeds of each: ${seeds}.
All are scored by expectation, in % of the requests. **Scheduled, all known**: a schedule found for machines that neither
interrupt nor batch, every arrival, journey, computation and confidence known beforehand; what it reaches can be reached. **As
they arrive**: each request is placed for good when it comes, best first where those before it have left room; what comes
later is not known. **Confidences unknown**: so is how sure the exits will be of an input. **Dystri, nothing varies**: journeys,
bandwidths and computations take what they usually take, and a user's controller is asked in no time; Dystri's own code decides
with what its controllers are told. Dystri may be above a schedule where nodes batch, and where it stops early.

${markdownTable(["cells", ...STEPS.map((step) => STEP_NAMES[step])], rows)}
`;
}
