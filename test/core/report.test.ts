import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { againstBest, compareCell, compareOver, type ComparedCell } from "../../bench/reporting/comparison.ts";
import { crossedTable } from "../../bench/reporting/crossed.ts";
import { cellsDocument } from "../../bench/reporting/document.ts";
import { accuracy, gridPicture } from "../../bench/reporting/grid-pictures.ts";
import { intervalText, points } from "../../bench/reporting/markdown.ts";
import { bootstrap, isSure, paired } from "../../bench/reporting/paired.ts";
import { readSet } from "../../bench/reporting/result-sets.ts";
import { missesText, servableCells } from "../../bench/reporting/servable.ts";
import { aimsTable, losses, ratioTable } from "../../bench/reporting/tables.ts";
import { FORMAT as SERVABLE_FORMAT, type ServableFile } from "../../bench/servable/results.ts";
import type { Figures } from "../../bench/sim/figures.ts";
import { FORMAT, type CellFile } from "../../bench/sim/results.ts";
import type { Cell } from "../../bench/sim/setting.ts";
import { Random } from "../../bench/simulator/random.ts";

const folder = mkdtempSync(path.join(tmpdir(), "report-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Of 100 requests, `right` were answered rightly, all on time. */
function figures(right: number): Figures {
  return {
    offered: 100,
    counts: { onTime: 100, late: 0, dropped: 0, rejected: 0, default: 0, error: 0 },
    right,
    expected: null,
    p50Ms: 10,
    p99Ms: 20,
    byDeadline: {},
    users: [[100, 100, right]],
    deviceMs: 0,
    edgeMs: 0,
    nodeMs: 0,
    uplinkBytes: 0,
    mix: {},
    cpuMs: 0,
  };
}

/** `rights`: of each policy, one per seed; a hole where it has not run. */
function cellFile(rights: Record<string, (number | null)[]>, over: Partial<Cell> = {}, fingerprint = "now"): CellFile {
  const seeds = Math.max(...Object.values(rights).map((all) => all.length));
  return {
    format: FORMAT,
    fingerprint,
    cell: { workload: "poisson", users: 8, load: 5, deadlineMs: 100, ...over },
    variation: "",
    requests: 100,
    warmUpMs: 0,
    rows: [],
    seeds: Array.from({ length: seeds }, (_, i) => ({
      seed: i + 1,
      arrivals: { perS: 100, cv: 1, idc: 1, peak: 1 },
      bounds: { information: { value: 90, requests: 100, seconds: 1, rows: 1, columns: 1, status: "optimal" } },
      policies: Object.fromEntries(
        Object.entries(rights).flatMap(([policy, all]) => {
          const right = all[i];
          return right === null || right === undefined ? [] : [[policy, figures(right)]];
        }),
      ),
      bounded: Object.fromEntries(
        Object.entries(rights).map(([policy, all]) => [policy, { right: all[i] ?? 0, expected: all[i] ?? 0 }]),
      ),
    })),
  };
}

function compared(rights: Record<string, (number | null)[]>, over: Partial<Cell> = {}): ComparedCell {
  const cell = compareCell(cellFile(rights, over));
  if (!cell) throw new Error("Dystri has not run");
  return cell;
}

describe("statistics", () => {
  test("differences are of the same seed, whatever the order and the holes", () => {
    const own = new Map([
      [1, 0.9],
      [2, 0.5],
      [3, 0.7],
    ]);
    const other = new Map([
      [3, 0.4],
      [2, 0.6],
    ]);
    expect(paired(own, other).map((value) => value.toFixed(3))).toEqual(["-0.100", "0.300"]);
  });

  test("an interval covers the mean it is of about as often as it says", () => {
    const draw = new Random(5, "test");
    let covered = 0;
    for (let trial = 0; trial < 200; trial++) {
      const sample = Array.from({ length: 30 }, () => 2 + draw.normal());
      const interval = bootstrap(sample, new Random(trial, "bootstrap"));
      if (interval && interval.low <= 2 && interval.high >= 2) covered++;
    }
    // 95 % of 200, five standard deviations either way.
    expect(covered).toBeGreaterThan(174);
    expect(covered).toBeLessThan(200);
  });

  test("the same seed gives the same interval; two seeds give none", () => {
    const sample = [0.1, 0.4, 0.2, 0.9];
    const interval = (): ReturnType<typeof bootstrap> => bootstrap(sample, new Random(3, "bootstrap"));
    expect(interval()).toEqual(interval());
    expect(interval()?.low).toBeGreaterThanOrEqual(0.1);
    expect(interval()?.high).toBeLessThanOrEqual(0.9);
    expect(bootstrap([0.1, 0.2], new Random(1, "bootstrap"))).toBeNull();
  });

  test("only an interval without zero is sure, and is written bold", () => {
    expect(isSure({ low: 0.001, high: 0.2 })).toBe(true);
    expect(isSure({ low: -0.2, high: -0.001 })).toBe(true);
    expect(isSure({ low: -0.001, high: 0.2 })).toBe(false);
    expect(isSure(null)).toBe(false);
    expect(intervalText({ low: 0.01, high: 0.02 })).toBe("**+1.00 … +2.00**");
    expect(intervalText({ low: -0.01, high: 0.02 })).toBe("−1.00 … +2.00");
    expect([points(0.00001), points(-0.00001), points(-0.0123)]).toEqual(["0.00", "0.00", "−1.23"]);
  });
});

describe("a cell", () => {
  test("is paired by seed, its baselines are best first, ablations are none", () => {
    const cell = compared({
      dystri: [80, 82, 84],
      gie: [79, 81, 83],
      "gie (tuned)": [81, 81, 90],
      "dystri-no-price": [99, 99, 99],
    });
    expect(cell.baselines.map(({ policy }) => policy)).toEqual(["gie (tuned)", "gie"]);
    const [tuned, gie] = cell.baselines;
    expect(gie?.ahead).toBeCloseTo(0.01, 9);
    // The difference never changes, so there is nothing to be unsure of.
    expect(gie?.interval?.low).toBeCloseTo(0.01, 9);
    expect(gie?.interval?.high).toBeCloseTo(0.01, 9);
    expect(tuned?.ahead).toBeCloseTo(-0.02, 9);
    expect(tuned?.interval?.low).toBeLessThan(0);
    expect(tuned?.interval?.high).toBeGreaterThan(0);
    expect(losses([cell]).map(({ rows }) => rows.map(({ policy }) => policy))).toEqual([["gie (tuned)"]]);
  });

  test("without Dystri is left out", () => {
    expect(compareCell(cellFile({ gie: [1, 2] }))).toBeNull();
  });

  test("a ratio stands beside both figures, and is none over nothing", () => {
    const cell = compared({ dystri: [80], "static-best": [40], gie: [0] });
    const text = ratioTable([cell], ["static-best", "gie"]);
    expect(text).toContain("| 80.00 | 40.00 | 2.00 | 0.00 | – |");
  });
});

describe("several cells", () => {
  const cells = [
    compared({ dystri: [80, 80, 80], gie: [70, 70, 70], proteus: [50, 50, 50] }),
    compared({ dystri: [60, 60, 60], gie: [62, 62, 62], proteus: [64, 64, 64] }, { load: 0.5 }),
  ];

  test("are means of cells, with cells won and lost", () => {
    const gie = compareOver(cells).find(({ policy }) => policy === "gie");
    expect(gie).toMatchObject({ wins: 1, losses: 1, cells: 2 });
    expect(gie?.ahead).toBeCloseTo(0.04, 9);
    expect(gie?.effectiveAccuracy).toBeCloseTo(0.66, 9);
  });

  test("the best baseline may be another one in each", () => {
    expect(againstBest(cells).best).toBeCloseTo((0.7 + 0.64) / 2, 9);
    expect(againstBest(cells).ahead).toBeCloseTo((0.1 - 0.04) / 2, 9);
  });

  test("aims are counted as they are, not as one would like", () => {
    const text = aimsTable(cells);
    expect(text).toMatch(/98 % of the information bound \| 0 of 2/);
    expect(text).toMatch(/ahead of every baseline \| 1 of 1/);
    expect(text).toMatch(/points behind the best baseline \| 0 of 1 \| −4\.00 points to proteus/);
  });

  test("give the same text and picture every time", () => {
    const draw = (): string =>
      gridPicture({ description: "d", cells, axis: "load", yLabel: "effective accuracy, %", value: accuracy });
    expect(draw()).toBe(draw());
    expect(draw()).toContain("best baseline of each cell");
    expect(cellsDocument("All", cells)).toBe(cellsDocument("All", cells));
    expect(cellsDocument("All", cells)).toContain("## poisson, 8 users, load 0.5, 100 ms");
  });
});

describe("aims on misses", () => {
  /** Dystri missed so many of 100 requests. */
  const missing = (missed: number, over: Partial<Cell>): ComparedCell => {
    const file = cellFile({ dystri: [50], gie: [50] }, { deadlineMs: 75, ...over });
    const own = file.seeds[0]?.policies["dystri"];
    if (!own) throw new Error("Dystri has not run");
    own.counts = { ...own.counts, onTime: 100 - missed, late: missed };
    own.users = [[100, 100 - missed, 50]];
    const cell = compareCell(file);
    if (!cell) throw new Error("Dystri has not run");
    return cell;
  };
  const cells = [
    missing(2, { load: 0.5 }),
    missing(0, { load: 5 }),
    missing(40, { load: 5, users: 4 }),
    missing(1, { workload: "mmpp2", load: 5 }),
    missing(3, { workload: "mmpp2", load: 0.5 }),
  ];
  /** `served`: of 2,000 requests, by cell and in order of seeds. */
  const fileOf = (served: Record<string, number[]>): ServableFile => ({
    format: SERVABLE_FORMAT,
    fingerprint: "now",
    cells: Object.fromEntries(
      Object.entries(served).map(([key, all]) => [
        key,
        Object.fromEntries(
          all.map((one, i) => [i + 1, { served: one, requests: 2000, seconds: 1, status: "optimal" as const }]),
        ),
      ]),
    ),
  });
  const solved = {
    "poisson-8u-0.5x-75ms": [2000],
    "poisson-8u-5x-75ms": [2000, 2000],
    "poisson-4u-5x-75ms": [2000, 1999.99],
    "mmpp2-8u-5x-75ms": [2000],
  };

  test("are counted where everything could be served, whatever the load", () => {
    const text = aimsTable(cells, servableCells(fileOf(solved), cells));
    expect(text).toContain(
      "| not missable, steady: at most 0.1 % missed | 1 of 2 | 2.00 % (poisson, 8 users, load 0.5, 75 ms)",
    );
    expect(text).toContain(
      "| not missable, bursty: at most 1 % missed | 1 of 1 | 1.00 % (mmpp2, 8 users, load 5, 75 ms)",
    );
    expect(text).toContain("| not missable, worst tenth of the users: at most 1 % missed | 2 of 3 | 2.00 %");
    expect(text).toMatch(/load < 2\.5: at most 0\.2 points behind/);
  });

  test("say how many cells of each kind that is, what could be served, and what is not known", () => {
    const text = missesText(cells, servableCells(fileOf(solved), cells));
    expect(text).toContain(
      "Not missable are 2 of 3 steady and\n1 of 1 bursty cells. Not solved, and so not counted: 1.",
    );
    expect(text).toContain("2000 requests of each seed, seeds of each cell: 1 to 2");
    const lines = text.split("\n");
    expect(lines).toContain("| cells | 4 users | 8 users |");
    // 3999.99 of 4000, cut off: no missable cell reads 100.00.
    expect(lines).toContain("| poisson, load 5, 75 ms | 99.99 | all |");
    expect(lines).toContain("| mmpp2, load 0.5, 75 ms | – | – |");
  });

  test("are counted below load 2.5 where nothing is known of any cell", () => {
    const other = fileOf({ "mmpp2-64u-5x-150ms": [2000] });
    for (const servable of [servableCells(fileOf({}), cells), servableCells(other, cells)]) {
      expect(aimsTable(cells, servable)).toBe(aimsTable(cells));
      expect(aimsTable(cells, servable)).toContain("| load < 2.5, steady: at most 0.1 % missed | 0 of 1 |");
      expect(missesText(cells, servable)).toContain("cells below load 2.5 are counted here");
    }
  });

  test("take nothing of the grid for a cell of an axis or of another deadline", () => {
    const axis = missing(1, { load: 5 });
    axis.file.variation = "middle";
    expect(servableCells(fileOf(solved), [axis, missing(1, { load: 5, deadlineMs: 100 })]).size).toBe(0);
  });

  test("do not depend on the order in which cells were solved", () => {
    const backwards = Object.fromEntries(Object.entries(solved).reverse());
    const [one, two] = [solved, backwards].map((of) => servableCells(fileOf(of), cells));
    if (!one || !two) throw new Error("no cells");
    expect(missesText(cells, two)).toBe(missesText(cells, one));
    expect(aimsTable(cells, two)).toBe(aimsTable(cells, one));
  });
});

test("crossed parts become a table of their own", () => {
  const file = cellFile({
    dystri: [90],
    "gie @ fifo": [40],
    "gie @ edf": [50],
    "greedy @ edf": [60],
    proteus: [70],
    "proteus+blind": [20],
  });
  expect(crossedTable(file)).toContain("; Dystri 90.0 (0.0):");
  const lines = crossedTable(file).split("\n");
  expect(lines).toContain("| selection | fifo | edf | knows the network | knows no network |");
  expect(lines).toContain("| gie | 40.0 (0.0) | 50.0 (0.0) |  |  |");
  expect(lines).toContain("| greedy |  | 60.0 (0.0) |  |  |");
  expect(lines).toContain("| proteus |  |  | 70.0 (0.0) | 20.0 (0.0) |");
});

test("results of older code are left out and counted", () => {
  mkdirSync(path.join(folder, "quick"));
  const write = (name: string, file: CellFile, second: number): void => {
    const full = path.join(folder, "quick", name);
    writeFileSync(full, JSON.stringify(file));
    utimesSync(full, second, second);
  };
  write("a.json", cellFile({ dystri: [1] }, { load: 5 }, "old"), 100);
  write("b.json", cellFile({ dystri: [1] }, { load: 2.5 }, "new"), 200);
  write("c.json", cellFile({ dystri: [1] }, { load: 0.5 }, "new"), 300);
  const set = readSet(folder, "quick");
  expect(set).toMatchObject({ fingerprint: "new", leftOut: 1, from: new Date(200_000), until: new Date(300_000) });
  expect(set?.cells.map(({ cell }) => cell.load)).toEqual([0.5, 2.5]);
  expect(readSet(folder, "full")).toBeNull();
});
