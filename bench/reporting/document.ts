/** The report's text: README.md and the tables of all cells. The same results give the same bytes. */
import type { GapFile } from "../gap/results.ts";
import { fullGrid } from "../sim/grid.ts";
import type { SeedResult } from "../sim/run-seed.ts";
import { compareCell, type ComparedCell } from "./comparison.ts";
import { crossedTable, isCrossed } from "./crossed.ts";
import { SCENE_CELL, SCENE_REQUESTS } from "./grid-scenes.ts";
import { range } from "./markdown.ts";
import type { ResultSet } from "./result-sets.ts";
import { gapText } from "./gap.ts";
import { missesText } from "./servable.ts";
import {
  aimsTable,
  byWorkloadAndLoad,
  cellSection,
  losses,
  lossTable,
  overallOf,
  overallTable,
  OVERLOADED,
  ratioTable,
  summaryTable,
  type ServableCells,
} from "./tables.ts";

/** Of the full grid where nothing else is asked for. */
const FULL_SEEDS = fullGrid([]).cells[0]?.seeds;

export type ReportInput = {
  /** Whose pictures and summaries are drawn: cells of the grid. */
  main: ResultSet;
  cells: readonly ComparedCell[];
  /** What is known of how many of their requests could be served; empty where `bench:servable` has not run. */
  servable: ServableCells;
  /** What lies between the information bound and Dystri; without a cell where `bench:gap` has not run. */
  gaps: GapFile;
  sets: readonly ResultSet[];
  /** Of the checkout as it is now. */
  fingerprint: string;
  machine: string;
  /** Of the cells in the pictures over users and load. */
  pictureDeadlineMs: number;
  /** Which bound the picture of shares is of. */
  boundName: string;
  /** Files with the tables of all cells: name and title. */
  tables: readonly { file: string; title: string; cells: number }[];
};

const LATE = "late answers count as wrong";
const NEVER_SHEDS = "static-best";
const SHEDS = "static-best+drop";

export function readme(input: ReportInput): string {
  const { main, cells, pictureDeadlineMs, boundName } = input;
  const overloaded = cells.filter(({ file }) => file.cell.load >= OVERLOADED);
  const ablations = overallOf(cells.filter(hasAblations), ["dystri", "ablation"]);
  // Axes and crossed parts too: nothing that was run is left out here.
  const everything = main.cells.flatMap((file) => compareCell(file) ?? []);
  const behind = losses(everything);
  const caption = `Deadline ${pictureDeadlineMs} ms, mean over seeds`;
  const seeds = Math.max(...main.cells.map((cell) => cell.seeds.length));
  const solvedSeeds = Math.max(0, ...[...input.servable.values()].map((cell) => cell.seeds));
  const few = main.cells.some(({ seeds }) => seeds.length < 3);
  return `# How well Dystri does

Written by \`npm run bench:report\` from results of \`npm run bench:sim\`; do not edit. What is simulated, with which machines,
users and links, is in [bench/README.md](../README.md).

**Effective accuracy** is the share of all offered requests that were answered rightly and on time; a late answer counts as
wrong, and so do dropped and refused requests. A **miss** is everything but an answer on time. "Dystri ahead" is Dystri's
effective accuracy minus the other's, in points, paired by seed; its interval is a 95 % bootstrap over seeds, **bold** where it
leaves zero out${few ? ", and a dash where there are fewer than three seeds" : ""}. The best baseline of a cell is chosen by the result itself, among all baselines with
default and with tuned parameters, which favours the baselines.

## What this is made from

${input.sets.map((set) => describeSet(set, input.fingerprint)).join("\n")}

Pictures and summaries are of the ${main.name} grid's cells; the pictures over users and load of those with a deadline of
${pictureDeadlineMs} ms. Simulated time does not depend on the machine. This report: ${input.machine}. Everything again:

\`\`\`
npm run bench:sim${main.name === "quick" ? ` -- --quick --seeds ${seeds}` : seeds === FULL_SEEDS ? "" : ` -- --seeds ${seeds}`}
${solvedSeeds > 1 ? `npm run bench:servable -- --seeds ${solvedSeeds}\n` : ""}npm run bench:report
\`\`\`

## In short

${summaryTable(cells, byWorkloadAndLoad)}

Against what the evaluation set out to reach:

${aimsTable(cells, input.servable)}

${missesText(cells, input.servable)}

![Effective accuracy against users](accuracy-users.svg)

*Effective accuracy against users. ${caption}, ${LATE}. The upper bound is the clairvoyant one.*

![Effective accuracy against load](accuracy-load.svg)

*Effective accuracy against load. ${caption}, ${LATE}.*

![Dystri against the best baseline](ahead.svg)

*Dystri's effective accuracy minus that of the best baseline of each cell, in points. ${caption}; bars are 95 % intervals${few ? ", where there are three seeds" : ""}.*

![Miss rate against load](misses-load.svg)

*Requests without an answer on time. ${caption}; late, dropped, refused and failed alike.*

![Share of the ${boundName} bound](bound-share.svg)

*Share of the ${boundName} bound. ${caption}, ${LATE}.*

The **${boundName} bound** is ${
    boundName === "information"
      ? "what a scheduler could reach that knows all confidences of an input but not which answer is right."
      : "what a scheduler could reach that knows beforehand which rung answers which input rightly; nobody can know that, so 100 % is out of reach. The results used here have no information bound."
  }

${gapText(input.gaps)}
## Every policy over all ${cells.length} cells

${overallTable(overallOf(cells, ["dystri", "baseline"]))}

## Where Dystri loses

${
  behind.length === 0
    ? "In no cell does a baseline have more effective accuracy."
    : `In ${behind.length} of ${everything.length} cells at least one baseline has more effective accuracy. The best of them, worst cell first:\n\n${lossTable(everything)}`
}

## What each part is worth

Dystri with one part taken out, over the ${cells.filter(hasAblations).length} cells that were run with it.

${ablations.length > 0 ? overallTable(ablations) : "No results."}

${axesSections(input.sets)}## Against a service that never sheds

\`${NEVER_SHEDS}\` answers everything with the best model, first come first served, and never drops a request. Once more is
offered than it can answer, its queue grows and nearly every answer is late, so nearly every answer counts as wrong. **A large
ratio here says that the other one's answers come too late, not that Dystri's answers are so many times better.** Beside it:
\`${SHEDS}\`, the same with requests dropped that would be late. A dash: nothing of it is right and on time at all, and there is no ratio.

${ratioTable(overloaded, [NEVER_SHEDS, SHEDS])}

## Looked at closely

One run of ${SCENE_REQUESTS.toLocaleString("en")} requests: ${SCENE_CELL.workload}, ${SCENE_CELL.users} users, load ${SCENE_CELL.load}, ${SCENE_CELL.deadlineMs} ms, seed 1.

![Latency](latency.svg)

*Share of the requests that have an answer by then. Requests without one keep a curve below 100 %.*

![A burst](burst.svg)

*What Dystri does while a burst passes: where it answers, and with which rung of the ladder. Missed: no answer on time.*

### A greedy user

The scene of \`npm run bench:isolation\` with an edge and a node: 8 users, then one of them sends 20 times as much. Shown are
the other seven; mean of 5 seeds.

![Isolation](isolation.svg)

### Faults

The scene of \`npm run bench:faults\`: 200 users, 4 nodes; against the same world without the fault, one run each.

![Recovery from faults](recovery.svg)

## All cells

${input.tables.map(({ file, title, cells: count }) => `- [${title}](${file}): ${count} cells`).join("\n")}
`;
}

export function cellsDocument(title: string, cells: readonly ComparedCell[]): string {
  return `# ${title}

Written by \`npm run bench:report\`; do not edit. The six counts add up to what was offered. Columns: [README.md](README.md).

${cells.map(cellSection).join("\n")}`;
}

/** What was changed one thing at a time, around one cell; empty where nothing was. */
function axesSections(sets: readonly ResultSet[]): string {
  const files = sets.flatMap((set) => set.cells).filter(({ variation }) => variation !== "");
  const axes = files.filter((file) => !isCrossed(file)).flatMap((file) => compareCell(file) ?? []);
  const crossed = files.filter(isCrossed);
  const changed = `## One thing changed at a time\n\n${summaryTable(axes, ({ title }) => title)}\n\n`;
  const parts =
    "## Selection, order, drop rule, network\n\nBaselines taken apart: the same selection behind other queues, and with and " +
    `without the network's part taken off the deadline.\n\n${crossed.map(crossedTable).join("\n\n")}\n\n`;
  return `${axes.length > 0 ? changed : ""}${crossed.length > 0 ? parts : ""}`;
}

function hasAblations({ rows }: ComparedCell): boolean {
  return rows.some(({ kind }) => kind === "ablation");
}

function describeSet(set: ResultSet, fingerprint: string): string {
  const seeds = range(set.cells.map((cell) => cell.seeds.length));
  const requests = range(set.cells.map((cell) => cell.requests));
  const [from, until] = [minute(set.from), minute(set.until)];
  const code =
    set.fingerprint === fingerprint
      ? "the code of this checkout"
      : `**other code than this checkout's** (${set.fingerprint}, not ${fingerprint})`;
  const bounds = [...Map.groupBy(set.cells.flatMap((cell) => cell.seeds).flatMap(boundsOf), (kind) => kind)].map(
    ([kind, all]) => `${kind} bound on ${all.length} runs`,
  );
  return (
    `- **${set.name} grid**: ${set.cells.length} cells, ${seeds} seeds of ${requests} requests each, ` +
    `${bounds.length > 0 ? `${bounds.join(", ")}, ` : ""}written ${from === until ? from : `${from} to ${until}`}, by ${code}` +
    `${set.leftOut > 0 ? `; ${set.leftOut} files of other code were left out` : ""}.`
  );
}

function boundsOf({ bounds }: SeedResult): string[] {
  return Object.keys(bounds);
}

function minute(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
