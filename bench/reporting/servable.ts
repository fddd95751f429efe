/** In which cells everything could be answered on time, for the report: what `npm run bench:servable` found, told of compared cells. */
import { servableOf, shareText, type ServableFile } from "../servable/results.ts";
import { fullGrid } from "../sim/grid.ts";
import type { ComparedCell } from "./comparison.ts";
import { markdownTable, range } from "./markdown.ts";
import { isSteady, OVERLOADED, type ServableCells } from "./tables.ts";

/** Cells of the full grid only: no other is ever solved. */
export function servableCells(file: ServableFile, cells: readonly ComparedCell[]): ServableCells {
  const plans = fullGrid([]).cells.filter(({ variation }) => variation.name === "");
  return new Map(
    cells.flatMap((compared) => {
      const { cell, variation } = compared.file;
      const plan = plans.find(
        ({ cell: one }) =>
          variation === "" &&
          one.workload === cell.workload &&
          one.users === cell.users &&
          one.load === cell.load &&
          one.deadlineMs === cell.deadlineMs,
      );
      const servable = plan ? servableOf(file, plan.key) : null;
      return servable ? [[compared, servable] as const] : [];
    }),
  );
}

/** Over which cells the aims on misses are counted, and why. */
export function missesText(cells: readonly ComparedCell[], servable: ServableCells): string {
  if (servable.size === 0) {
    return `The aims on misses are for cells in which the machines could answer everything on time. Results do not say which those are;
cells below load ${OVERLOADED} are counted here.`;
  }
  const answerable = (own: readonly ComparedCell[]): string => {
    const known = own.flatMap((cell) => servable.get(cell) ?? []);
    return `${known.filter(({ missable }) => !missable).length} of ${known.length}`;
  };
  const steady = answerable(cells.filter(isSteady));
  const bursty = answerable(cells.filter((cell) => !isSteady(cell)));
  const solved = [...servable.values()];
  const requests = range(solved.map((one) => one.requests));
  const seeds = range(solved.map((one) => one.seeds));
  const unsolved = cells.length - servable.size;
  return `The aims on misses are for cells that are not **missable**. A cell is missable when its machines could not serve all requests
on time, even if every rung were always right, requests could be split and everything were known beforehand
(\`npm run bench:servable\`: ${requests} requests of each seed, seeds of each cell: ${seeds}). Not missable are ${steady} steady and
${bursty} bursty cells. ${unsolved > 0 ? `Not solved, and so not counted: ${unsolved}. ` : ""}What could be served of each, at most, in % of its requests:

${shareTable(cells, servable)}`;
}

/** A row for what differs otherwise, a column for each number of users; a dash where nothing is known. */
function shareTable(cells: readonly ComparedCell[], servable: ServableCells): string {
  const users = [...new Set(cells.map(({ file }) => file.cell.users))].sort((a, b) => a - b);
  const groups = Map.groupBy(
    cells,
    ({ file: { cell } }) => `${cell.workload}, load ${cell.load}, ${cell.deadlineMs} ms`,
  );
  return markdownTable(
    ["cells", ...users.map((count) => `${count} users`)],
    [...groups].map(([name, group]) => [
      name,
      ...users.map((count) => {
        const cell = group.find(({ file }) => file.cell.users === count);
        const known = cell && servable.get(cell);
        return known ? shareText(known) : "–";
      }),
    ]),
  );
}
