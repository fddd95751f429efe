/** The report's tables, as Markdown. */
import type { Servable } from "../servable/results.ts";
import { againstBest, compareOver, type ComparedCell, type ComparedRow, type Overall } from "./comparison.ts";
import { intervalText, markdownTable, percent, points } from "./markdown.ts";
import { isSure } from "./paired.ts";

/** How many of the requests could be served, of the cells of which that is known. */
export type ServableCells = ReadonlyMap<ComparedCell, Servable>;

/** From here on the service is offered more than its nodes answer with the full model, by far. */
export const OVERLOADED = 2.5;
const INTERVAL = "95 % interval";
/** Never to be exceeded where Dystri is behind below OVERLOADED. */
const MOST_BEHIND = 0.002;
/** Of shares: one request missed of a hundred is 1 − 0.99, which is a little more than 0.01. */
const ROUNDING = 1e-9;

/** Cells of the grid that differ only in users and deadline. */
export function byWorkloadAndLoad({ file: { cell } }: ComparedCell): string {
  return `${cell.workload}, load ${cell.load}`;
}

/** Arrivals at one rate; anything else is bursty. */
export function isSteady({ file }: ComparedCell): boolean {
  return file.cell.workload === "poisson";
}

/** One row per group of cells: Dystri against the best baseline of each cell. */
export function summaryTable(cells: readonly ComparedCell[], groupOf: (cell: ComparedCell) => string): string {
  const groups = Map.groupBy(cells, groupOf);
  return markdownTable(
    [
      "cells",
      "number",
      "Dystri, %",
      "missed, %",
      "best baseline of each, %",
      "Dystri ahead, points",
      INTERVAL,
      "cells ahead of all",
    ],
    [...groups].map(([name, group]) => {
      const { dystri, missRate, best, ahead, interval } = againstBest(group);
      const first = group.filter(({ baselines }) => baselines.every((row) => row.ahead > 0)).length;
      return [
        name,
        `${group.length}`,
        percent(dystri),
        percent(missRate),
        percent(best),
        points(ahead),
        intervalText(interval),
        `${first} of ${group.length}`,
      ];
    }),
  );
}

/** Means over all cells, best policy first. */
export function overallTable(rows: readonly Overall[]): string {
  return markdownTable(
    [
      "policy",
      "effective accuracy, %",
      "Dystri ahead, points",
      INTERVAL,
      "cells Dystri is ahead / behind",
      "missed, %",
      "accuracy of what was on time, %",
      "p99, ms",
      "Jain",
      "worst decile missed, %",
    ],
    rows.map((row) => [
      row.kind === "dystri" ? `**${row.policy}**` : row.policy,
      percent(row.effectiveAccuracy),
      row.kind === "dystri" ? "" : points(row.ahead),
      row.kind === "dystri" ? "" : intervalText(row.interval),
      row.kind === "dystri" ? "" : `${row.wins} / ${row.losses}`,
      percent(row.missRate),
      percent(row.onTimeAccuracy),
      row.p99Ms.toFixed(0),
      row.jainAccuracy.toFixed(3),
      percent(row.worstDecileMissRate),
    ]),
  );
}

export function overallOf(cells: readonly ComparedCell[], kinds: readonly Overall["kind"][]): Overall[] {
  return compareOver(cells).filter(({ kind }) => kinds.includes(kind));
}

/** Every baseline that has more than Dystri in a cell; the cells with most first. Empty where there is none. */
export function losses(cells: readonly ComparedCell[]): { cell: ComparedCell; rows: ComparedRow[] }[] {
  return cells
    .map((cell) => ({ cell, rows: cell.baselines.filter(({ ahead }) => ahead < 0) }))
    .filter(({ rows }) => rows.length > 0)
    .sort((a, b) => (a.rows[0]?.ahead ?? 0) - (b.rows[0]?.ahead ?? 0));
}

export function lossTable(cells: readonly ComparedCell[]): string {
  return markdownTable(
    [
      "cell",
      "Dystri, %",
      "best baseline",
      "its, %",
      "Dystri ahead, points",
      INTERVAL,
      "missed, Dystri / it, %",
      "accuracy on time, Dystri / it, %",
      "baselines in front",
    ],
    losses(cells).flatMap(({ cell, rows }) => {
      const [best] = rows;
      if (!best) return [];
      const { dystri } = cell;
      return [
        [
          cell.title,
          percent(dystri.effectiveAccuracy),
          best.policy,
          percent(best.effectiveAccuracy),
          points(best.ahead),
          intervalText(best.interval),
          `${percent(dystri.missRate)} / ${percent(best.missRate)}`,
          `${percent(dystri.onTimeAccuracy)} / ${percent(best.onTimeAccuracy)}`,
          `${rows.length} of ${cell.baselines.length}`,
        ],
      ];
    }),
  );
}

/** Dystri over a baseline, absolutes beside the ratio; a dash where the baseline has nothing right on time. */
export function ratioTable(cells: readonly ComparedCell[], policies: readonly string[]): string {
  const ratio = (a: number, b: number): string => (b > 0 ? `${(a / b).toFixed(a / b < 10 ? 2 : 0)}` : "–");
  return markdownTable(
    ["cell", "Dystri, %", ...policies.flatMap((policy) => [`${policy}, %`, "ratio"])],
    cells.map(({ title, rows, dystri }) => [
      title,
      percent(dystri.effectiveAccuracy),
      ...policies.flatMap((policy) => {
        const row = rows.find((one) => one.policy === policy);
        if (!row) return ["", ""];
        return [percent(row.effectiveAccuracy), ratio(dystri.effectiveAccuracy, row.effectiveAccuracy)];
      }),
    ]),
  );
}

/**
 * What the evaluation set out to reach, and in how many cells it is reached. The aims on misses are counted over the cells
 * that are known not to be missable; where nothing is known of any, over those below OVERLOADED.
 */
export function aimsTable(cells: readonly ComparedCell[], servable: ServableCells = new Map()): string {
  const overloaded = (cell: ComparedCell): boolean => cell.file.cell.load >= OVERLOADED;
  const informed = cells.filter(({ dystri }) => dystri.infoShare !== null);
  const shares = (of: readonly ComparedCell[]): string => {
    const least = of.toSorted((a, b) => (a.dystri.infoShare ?? 1) - (b.dystri.infoShare ?? 1))[0];
    return least ? `least ${percent(least.dystri.infoShare)} % (${least.title})` : "no cell has this bound";
  };
  const count = (of: readonly ComparedCell[], holds: (cell: ComparedCell) => boolean): string =>
    of.length === 0 ? "–" : `${of.filter(holds).length} of ${of.length}`;
  const rest = cells.filter((cell) => !overloaded(cell));
  const isKnown = servable.size > 0;
  const answerable = isKnown ? cells.filter((cell) => servable.get(cell)?.missable === false) : rest;
  const among = isKnown ? "not missable" : `load < ${OVERLOADED}`;
  const [calm, bursty] = [informed.filter(isSteady), informed.filter((cell) => !isSteady(cell))];
  return markdownTable(
    ["aim", "cells that reach it", "furthest from it"],
    [
      [
        "steady: at least 98 % of the information bound",
        count(calm, ({ dystri }) => (dystri.infoShare ?? 0) >= 0.98),
        shares(calm),
      ],
      [
        "bursty: at least 96 % of the information bound",
        count(bursty, ({ dystri }) => (dystri.infoShare ?? 0) >= 0.96),
        shares(bursty),
      ],
      [
        `load ≥ ${OVERLOADED}: ahead of every baseline`,
        count(cells.filter(overloaded), ({ baselines }) => baselines.every(({ ahead }) => ahead > 0)),
        furthest(cells.filter(overloaded)),
      ],
      [
        `load ≥ ${OVERLOADED}: ahead of every baseline, each interval without zero`,
        count(cells.filter(overloaded), ({ baselines }) =>
          baselines.every(({ ahead, interval }) => ahead > 0 && isSure(interval)),
        ),
        cells.some(({ baselines }) => baselines.some(({ interval }) => interval === null))
          ? "some have fewer than three seeds, so no interval"
          : "",
      ],
      [
        `load < ${OVERLOADED}: at most ${100 * MOST_BEHIND} points behind the best baseline`,
        count(rest, ({ baselines }) => baselines.every(({ ahead }) => ahead >= -MOST_BEHIND)),
        furthest(rest),
      ],
      missAim(`${among}, steady`, answerable.filter(isSteady), 0.001, ({ missRate }) => missRate),
      missAim(
        `${among}, bursty`,
        answerable.filter((cell) => !isSteady(cell)),
        0.01,
        ({ missRate }) => missRate,
      ),
      missAim(`${among}, worst tenth of the users`, answerable, 0.01, ({ worstDecileMissRate }) => worstDecileMissRate),
    ],
  );
}

/** Misses of Dystri, against what they should not exceed. */
function missAim(
  what: string,
  cells: readonly ComparedCell[],
  most: number,
  of: (row: ComparedRow) => number,
): [string, string, string] {
  const worst = cells.toSorted((a, b) => of(b.dystri) - of(a.dystri))[0];
  return [
    `${what}: at most ${100 * most} % missed`,
    worst ? `${cells.filter(({ dystri }) => of(dystri) <= most + ROUNDING).length} of ${cells.length}` : "–",
    worst ? `${percent(of(worst.dystri))} % (${worst.title})` : "",
  ];
}

function furthest(cells: readonly ComparedCell[]): string {
  const worst = cells.toSorted((a, b) => (a.baselines[0]?.ahead ?? 0) - (b.baselines[0]?.ahead ?? 0))[0];
  const best = worst?.baselines[0];
  return worst && best ? `${points(best.ahead)} points to ${best.policy} (${worst.title})` : "";
}

/** Every policy of one cell, with what was offered. */
export function cellSection({ title, file, rows }: ComparedCell): string {
  const [arrivals] = file.seeds.map((seed) => seed.arrivals);
  const offered = arrivals
    ? `${arrivals.perS.toFixed(0)} requests/s, CV ${arrivals.cv.toFixed(2)}, IDC(1 s) ${arrivals.idc.toFixed(1)}, ` +
      `peak/mean ${arrivals.peak.toFixed(2)} (seed ${file.seeds[0]?.seed})`
    : "";
  const head = [
    "policy",
    "effective accuracy, %",
    "Dystri ahead, points",
    INTERVAL,
    "on time",
    "late",
    "dropped",
    "rejected",
    "default",
    "error",
    "accuracy on time, %",
    "p50, ms",
    "p99, ms",
    "Jain",
    "worst decile missed, %",
    "of bound, %",
    "of information, %",
  ];
  const body = rows.map((row) => [
    row.kind === "dystri" ? `**${row.policy}**` : row.policy,
    percent(row.effectiveAccuracy),
    row.kind === "dystri" ? "" : points(row.ahead),
    row.kind === "dystri" ? "" : intervalText(row.interval),
    ...[row.onTime, row.late, row.dropped, row.rejected, row.default, row.error].map(String),
    percent(row.onTimeAccuracy),
    row.p50Ms.toFixed(0),
    row.p99Ms.toFixed(0),
    row.jainAccuracy.toFixed(3),
    percent(row.worstDecileMissRate),
    percent(row.boundShare),
    percent(row.infoShare),
  ]);
  return `## ${title}\n\n${file.seeds.length} ${file.seeds.length === 1 ? "seed" : "seeds"}, ${rows[0]?.offered} requests in all; ${offered}.\n\n${markdownTable(head, body)}\n`;
}
