/**
 * `npm run bench:servable`: which cells of the full grid are missable. A cell is missable when its machines could not serve
 * all requests on time, even if every rung were always right, requests could be split and everything were known
 * beforehand. Misses there are no policy's fault, so the report counts its aims on misses in the other cells only.
 * Results are kept in .dystri/bench/servable.json; what is there of the same code is not solved again.
 *
 *     npm run bench:servable                     the 80 cells of the grid, without the axes
 *     … --cells mmpp2-8u                         only cells whose name has this
 *     … --seeds 3  --threads 1                   one seed and as many threads as there are cores without them
 */
import path from "node:path";
import { cellsWith, runCommand } from "./command-line/options.ts";
import { readCellOptions, solveCells, type CellOptions } from "./kept/solve-cells.ts";
import { addServed, readServable, servableOf, shareText } from "./servable/results.ts";
import { fingerprint, fullGrid, type CellPlan } from "./sim/grid.ts";
import { table } from "./simulator/table.ts";

const ROOT = path.join(import.meta.dirname, "..");
const FILE = path.join(ROOT, ".dystri", "bench", "servable.json");

await runCommand("bench:servable", (args) => main(readCellOptions(args)));

async function main(options: CellOptions): Promise<void> {
  const grid = fullGrid([]).cells.filter(({ variation }) => variation.name === "");
  const cells = cellsWith(grid, options.cells);
  const code = fingerprint(ROOT);
  const known = readServable(FILE, code).cells;
  const worker = new URL("servable/worker.ts", import.meta.url);
  await solveCells(worker, cells, options, known, (key, seed, result) => addServed(FILE, code, key, seed, result));
  printCells(cells, code);
}

function printCells(cells: readonly CellPlan[], code: string): void {
  const file = readServable(FILE, code);
  const found = cells.flatMap(({ key }) => {
    const servable = servableOf(file, key);
    return servable ? [{ key, servable, seeds: Object.values(file.cells[key] ?? {}) }] : [];
  });
  const rows = found.map(({ key, servable, seeds }) => [
    key,
    `${seeds.length}`,
    shareText(servable),
    servable.missable ? "yes" : "no",
    (seeds.reduce((sum, { seconds }) => sum + seconds, 0) / seeds.length).toFixed(1),
    // What a solver stopped early says is a bound still, but a loose one.
    seeds.every(({ status }) => status === "optimal") ? "" : "not optimal",
  ]);
  const missable = found.filter(({ servable }) => servable.missable).length;
  console.log(table(["cell", "seeds", "servable %", "missable", "s each", ""], rows));
  console.log(`\n${missable} of ${found.length} cells are missable; results: ${path.relative(ROOT, FILE)}`);
}
