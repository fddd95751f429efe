/**
 * `npm run bench:gap`: what lies between the information bound and Dystri. In some cells of the full grid the same requests are
 * served by ever less knowledge (bench/gap/solve.ts), so that each step says what one kind of it is worth. Results are
 * kept in .dystri/bench/gap.json; what is there of the same code is not done again.
 *
 *     npm run bench:gap                     the cells of 8 and 32 users, without the axes
 *     … --cells mmpp2-8u                    only those of them whose name has this
 *     … --seeds 3  --threads 1              one seed and as many threads as there are cores without them
 */
import path from "node:path";
import { cellsWith, runCommand } from "./command-line/options.ts";
import { addGap, readGaps } from "./gap/results.ts";
import { gapCells, gapRows, MISSED_HEAD, missedTexts, RIGHT_HEAD, rightTexts } from "./gap/rows.ts";
import { readCellOptions, solveCells, type CellOptions } from "./kept/solve-cells.ts";
import { fingerprint } from "./sim/grid.ts";
import { table } from "./simulator/table.ts";

const ROOT = path.join(import.meta.dirname, "..");
const FILE = path.join(ROOT, ".dystri", "bench", "gap.json");

await runCommand("bench:gap", (args) => main(readCellOptions(args)));

async function main(options: CellOptions): Promise<void> {
  const cells = cellsWith(gapCells(), options.cells);
  const code = fingerprint(ROOT);
  const worker = new URL("gap/worker.ts", import.meta.url);
  await solveCells(worker, cells, options, readGaps(FILE, code).cells, (key, seed, gap) =>
    addGap(FILE, code, key, seed, gap),
  );
  const file = readGaps(FILE, code);
  const keys = new Set(cells.map(({ key }) => key));
  const kept = { ...file, cells: Object.fromEntries(Object.entries(file.cells).filter(([key]) => keys.has(key))) };
  const rows = gapRows(kept);
  console.log(`Expected right and on time, % of requests\n${table(RIGHT_HEAD, rightTexts(rows))}`);
  console.log(`\nNot answered on time, % of requests\n${table(MISSED_HEAD, missedTexts(rows))}`);
  console.log(`\nresults: ${path.relative(ROOT, FILE)}`);
}
