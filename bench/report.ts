/**
 * `npm run bench:report`: bench/report/ from what `npm run bench:sim` has left under .dystri/bench/sim: README.md, tables of
 * all cells, pictures. The full grid where at least half of it is there, else the quick one. The pictures of single
 * runs are simulated anew. In which cells the aims on misses hold is read from .dystri/bench/servable.json, where the code
 * of the results has made it (`npm run bench:servable`), and likewise what lies between bound and Dystri from gap.json
 * (`npm run bench:gap`).
 *
 *     npm run bench:report          --from FOLDER   other results, with servable.json and gap.json beside the folder
 *                                   --to FOLDER     another place
 */
import { globSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus, platform, totalmem } from "node:os";
import path from "node:path";
import { readValues, runCommand, UsageError } from "./command-line/options.ts";
import { aheadPicture } from "./reporting/ahead-picture.ts";
import { compareCell, type ComparedCell } from "./reporting/comparison.ts";
import { cellsDocument, readme } from "./reporting/document.ts";
import { accuracy, clairvoyantShare, gridPicture, misses } from "./reporting/grid-pictures.ts";
import { GAP_PICTURE } from "./reporting/gap.ts";
import { gapPicture } from "./reporting/gap-picture.ts";
import { runGridScene } from "./reporting/grid-scenes.ts";
import { readSet, SET_NAMES, type ResultSet } from "./reporting/result-sets.ts";
import { servableCells } from "./reporting/servable.ts";
import { burstPicture, isolationPicture, latencyPicture, recoveryPicture } from "./reporting/scene-pictures.ts";
import { readGaps } from "./gap/results.ts";
import { gapRows } from "./gap/rows.ts";
import { readServable } from "./servable/results.ts";
import { fingerprint, fullGrid } from "./sim/grid.ts";

const ROOT = path.join(import.meta.dirname, "..");
const SCENE_POLICIES = ["dystri", "greedy+drop", "static-best", "static-fast"];

await runCommand("bench:report", main);

async function main(args: string[]): Promise<void> {
  const { from, to } = readOptions(args);
  const sets = SET_NAMES.flatMap((name) => readSet(from, name) ?? []);
  const main = mainOf(sets);
  if (!main) throw new UsageError(`no results in ${from}; run \`npm run bench:sim -- --quick\` first`);
  const cells = onGrid(main);
  if (cells.length === 0) throw new UsageError(`no cell of the ${main.name} grid has a run of dystri`);
  const pictureDeadlineMs = Math.min(...cells.map(({ file }) => file.cell.deadlineMs));
  const drawn = cells.filter(({ file }) => file.cell.deadlineMs === pictureDeadlineMs);
  const informed = cells.some(({ dystri }) => dystri.infoShare !== null);
  const boundName = informed ? "information" : "clairvoyant";

  mkdirSync(to, { recursive: true });
  for (const file of globSync("*.{md,svg}", { cwd: to })) rmSync(path.join(to, file));
  const write = (file: string, text: string): void => {
    writeFileSync(path.join(to, file), text);
    console.log(path.join(path.relative(process.cwd(), to), file));
  };
  const tables = [...Map.groupBy(sets.flatMap(tablesOf), ({ file }) => file)].map(([file, parts]) => {
    const all = parts.flatMap((part) => part.cells);
    const title = parts[0]?.title ?? file;
    write(file, cellsDocument(title, all));
    return { file, title, cells: all.length };
  });
  const common = { cells: drawn, yLabel: "effective accuracy, %", value: accuracy, bound: clairvoyantShare };
  const late = "A late answer counts as wrong.";
  write(
    "accuracy-users.svg",
    gridPicture({ ...common, axis: "users", description: `Effective accuracy against users. ${late}` }),
  );
  write(
    "accuracy-load.svg",
    gridPicture({ ...common, axis: "load", description: `Effective accuracy against load. ${late}` }),
  );
  write("ahead.svg", aheadPicture(drawn));
  write(
    "misses-load.svg",
    gridPicture({
      cells: drawn,
      axis: "load",
      yLabel: "missed, % of offered",
      value: misses,
      description: "Share of requests without an answer on time, against load.",
    }),
  );
  write(
    "bound-share.svg",
    gridPicture({
      cells: drawn,
      axis: "load",
      yLabel: `of the ${boundName} bound, %`,
      value: ({ infoShare, boundShare }) => {
        const share = informed ? infoShare : boundShare;
        return share === null ? null : 100 * share;
      },
      rules: [100],
      description: `Share of the ${boundName} bound reached, against load.`,
    }),
  );
  const scene = await runGridScene(SCENE_POLICIES);
  write("latency.svg", latencyPicture(scene));
  write("burst.svg", burstPicture(scene));
  write("isolation.svg", isolationPicture());
  write("recovery.svg", recoveryPicture());
  const gaps = readGaps(path.join(from, "..", "gap.json"), main.fingerprint);
  const gapped = gapRows(gaps);
  if (gapped.length > 0) write(GAP_PICTURE, gapPicture(gapped));
  write(
    "README.md",
    readme({
      main,
      cells,
      gaps,
      servable: servableCells(readServable(path.join(from, "..", "servable.json"), main.fingerprint), cells),
      sets,
      fingerprint: fingerprint(ROOT),
      machine: machine(),
      pictureDeadlineMs,
      boundName,
      tables,
    }),
  );
}

function readOptions(args: string[]): { from: string; to: string } {
  const { from, to } = readValues(args, { from: { type: "string" }, to: { type: "string" } });
  return {
    from: path.resolve(from ?? path.join(ROOT, ".dystri", "bench", "sim")),
    to: path.resolve(to ?? path.join(ROOT, "bench", "report")),
  };
}

function mainOf(sets: readonly ResultSet[]): ResultSet | undefined {
  const whole = fullGrid([]).cells.filter(({ variation }) => variation.name === "").length;
  const full = sets.find(({ name }) => name === "full");
  const quick = sets.find(({ name }) => name === "quick");
  return full && (onGrid(full).length >= whole / 2 || !quick) ? full : quick;
}

function onGrid({ cells }: ResultSet): ComparedCell[] {
  return cells.filter(({ variation }) => variation === "").flatMap((file) => compareCell(file) ?? []);
}

/** A file for each workload of each grid, one for the axes. */
function tablesOf({ name, cells }: ResultSet): { file: string; title: string; cells: ComparedCell[] }[] {
  const compared = cells.flatMap((file) => compareCell(file) ?? []);
  const groups = Map.groupBy(compared, ({ file }) =>
    file.variation === "" || name === "trace" ? file.cell.workload : "axes",
  );
  return [...groups].map(([group, own]) => ({
    file: `cells-${name}-${group}.md`,
    title: `${name} grid, ${group}`,
    cells: own,
  }));
}

/** Without what changes from run to run. */
function machine(): string {
  const all = cpus();
  const model = all[0]?.model.trim() ?? "unknown CPU";
  return `${model}, ${all.length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, ${platform()}, Node ${process.versions.node}`;
}
