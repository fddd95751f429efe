import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Solver } from "../../bench/bounds/solver.ts";
import { policies } from "../../bench/policies/registry.ts";
import { headline } from "../../bench/sim/figures.ts";
import { fullGrid, quickGrid, rowsOf, tasksOf, type CellPlan } from "../../bench/sim/grid.ts";
import { Results, rowsOfCell } from "../../bench/sim/results.ts";
import { runSeed, type Bench, type SeedResult } from "../../bench/sim/run-seed.ts";
import { fullPerS, loadService, settingOf, type Cell } from "../../bench/sim/setting.ts";
import { Lens } from "../../bench/simulator/lens.ts";
import { replayInputs } from "../../bench/simulator/replay-inputs.ts";
import { loadApplications } from "../../bench/simulator/scenario.ts";
import { workloadText } from "../../bench/simulator/workload.ts";
import type { PlanRequest } from "../../protocol/plan.ts";

const CELL: Cell = { workload: "mmpp2", users: 8, load: 5, deadlineMs: 100 };
let bench: Bench;
let result: SeedResult;

beforeAll(async () => {
  bench = {
    service: await loadService("test"),
    training: await loadService("validation"),
    solver: await Solver.load(),
    solverTimes: { byColumns: [{ columns: 100, ms: 5 }] },
    expectations: new Map(),
  };
  result = runSeed(bench, {
    cell: CELL,
    variation: { name: "" },
    seed: 3,
    requests: 400,
    warmUpMs: 500,
    policies: policies().map(({ name }) => ({ name, of: name, parameters: {} })),
    bounds: ["clairvoyant", "information"],
    boundRequests: 400,
  });
}, 120_000);

describe("recorded answers", () => {
  test.each(loadApplications())("$name: as often right as its app.json says", async (application) => {
    for (const split of ["validation", "test"] as const) {
      const table = await replayInputs(application, split);
      application.rungs.forEach(({ quality }, rung) => expect(table.accuracy(rung)).toBeCloseTo(quality[split], 2));
    }
  });

  test("a recording of another ladder is refused", async () => {
    const [application] = loadApplications();
    if (!application) throw new Error("no application");
    const other = { ...application, rungs: application.rungs.slice(1) };
    await expect(replayInputs(other, "test")).rejects.toThrow(RangeError);
  });
});

describe("a cell", () => {
  test("offers every policy the same, and as much as it says", () => {
    const make = () => settingOf(bench.service, CELL, 3, 400, 500).world.workload;
    expect(workloadText(make())).toBe(workloadText(make()));
    const { world, measured } = settingOf(bench.service, { ...CELL, workload: "poisson" }, 3, 4000, 500);
    expect(world.workload.requests.filter(measured)).toHaveLength(4000);
    const perS = (1000 * world.workload.requests.length) / world.workload.untilMs;
    expect(Math.abs(perS / (5 * fullPerS()) - 1)).toBeLessThan(0.08);
  });

  test("counts of every policy add up to what was offered", () => {
    for (const [name, figures] of Object.entries(result.policies)) {
      expect([name, Object.values(figures.counts).reduce((a, b) => a + b, 0)]).toEqual([name, 400]);
      expect(figures.offered).toBe(400);
      expect(figures.users.reduce((sum, [, , right]) => sum + right, 0)).toBe(figures.right);
      expect(figures.right).toBeLessThanOrEqual(figures.counts.onTime);
    }
  });

  test("no policy is above a bound", () => {
    const { clairvoyant, information } = result.bounds;
    expect(clairvoyant?.value).toBeLessThanOrEqual(400);
    for (const [name, { right, expected }] of Object.entries(result.bounded)) {
      expect([name, right <= (clairvoyant?.value ?? 0) + 1e-6]).toEqual([name, true]);
      expect([name, (expected ?? 0) <= (information?.value ?? 0) + 1e-6]).toEqual([name, true]);
    }
  });

  // Above nine tenths the bound would be wrong sooner than this policy as good.
  test("where machines are the bottleneck, a policy that uses them all comes near a bound and not above it", () => {
    const { bounds, bounded } = runSeed(bench, {
      cell: { workload: "poisson", users: 14, load: 12, deadlineMs: 150 },
      variation: { name: "thin clients", devices: [null] },
      seed: 1,
      requests: 800,
      warmUpMs: 300,
      policies: [{ name: "all", of: "static-fast+drop", parameters: { machines: "all", limit: 16 } }],
      bounds: ["clairvoyant"],
      boundRequests: 800,
    });
    const share = (bounded["all"]?.right ?? 0) / (bounds.clairvoyant?.value ?? 0);
    expect(share).toBeGreaterThan(0.7);
    expect(share).toBeLessThan(0.9);
    expect(bounds.clairvoyant?.rows).toBeGreaterThan(0);
  });

  test("the headline of two seeds counts requests, and worst users of both", () => {
    const [one] = Object.values(result.policies);
    if (!one) throw new Error("no figures");
    const bad = {
      ...one,
      counts: { ...one.counts, onTime: 0, late: one.offered },
      right: 0,
      users: [[400, 0, 0]] as [number, number, number][],
    };
    const both = headline([one, bad]);
    expect(both.offered).toBe(800);
    expect(both.effectiveAccuracy).toBeCloseTo(one.right / 800, 9);
    expect(both.worstUserMissRate).toBe(1);
  });
});

describe("results on disk", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "dystri-sim-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const plan = { ...(quickGrid(rowsOf(["dystri"], {})).cells[0] as CellPlan), seeds: 3 };

  test("seeds are kept, in order, and only for the same code and rows", () => {
    const results = new Results(folder, "code-1");
    results.add(plan, { ...result, seed: 2 });
    results.add(plan, { ...result, seed: 1 });
    expect(results.read(plan).seeds.map(({ seed }) => seed)).toEqual([1, 2]);
    expect(new Results(folder, "code-2").read(plan).seeds).toEqual([]);
    const other = { ...plan, rows: rowsOf(["gie"], {}) };
    expect(results.read(other).seeds).toEqual([]);
    const [row] = rowsOfCell(results.read(plan));
    expect(row).toMatchObject({ policy: "dystri", offered: 800, workload: plan.cell.workload });
    expect(row?.boundShare).toBeGreaterThan(0.3);
  });
});

describe("the grid", () => {
  test("quick: 12 cells, two seeds, every policy, the bound on the first seed", () => {
    const { cells } = quickGrid(rowsOf(null, {}));
    expect(cells).toHaveLength(12);
    expect(new Set(cells.map(({ key }) => key)).size).toBe(12);
    expect(cells.every(({ rows }) => rows.length === policies().length)).toBe(true);
    expect(tasksOf(cells[0] as CellPlan).map(({ seed, bounds }) => [seed, bounds])).toEqual([
      [1, ["clairvoyant"]],
      [2, []],
    ]);
  });

  test("full: 80 cells and the axes, each with a name of its own", () => {
    const { cells } = fullGrid(rowsOf(null, {}));
    expect(cells.filter(({ variation }) => variation.name === "")).toHaveLength(80);
    expect(new Set(cells.map(({ key }) => key)).size).toBe(cells.length);
  });

  test("tuned parameters make a second row, and the mix of Dystri's choices needs Dystri", () => {
    const rows = rowsOf(["gie", "slackfit"], { gie: { packing: "spread" } });
    expect(rows.map(({ name }) => name)).toEqual(["gie", "gie (tuned)", "slackfit"]);
    const { cells } = quickGrid(rowsOf(["random-mix"], {}));
    expect(cells[0]?.rows.map(({ of }) => of)).toEqual(["dystri", "random-mix"]);
  });
});

describe("what ablations hide", () => {
  const question: PlanRequest = {
    application: "clothing",
    secretDigest: "",
    remainingMs: 100,
    wishes: { deadlinePolicy: "best_effort" },
  };
  const seen = (price: number) => ({ ...question, edge: { price, aheadMs: 1, ageMs: 2 } });

  test("prices", () => {
    expect(new Lens({ price: false }).question(seen(3), "vision", 0).edge?.price).toBe(0);
    expect(new Lens().question(seen(3), "vision", 0)).toEqual(seen(3));
  });

  test("confidences: every row of a table says the average", () => {
    const [application] = bench.service.applications;
    if (!application) throw new Error("no application");
    const blind = new Lens({ evidence: false }).application(application);
    for (const { evidence } of blind.rungs) {
      expect(new Set(evidence.map(({ right }) => right.join())).size).toBe(1);
    }
    expect(new Lens().application(application)).toBe(application);
  });

  test("the last second of views", () => {
    const lens = new Lens({ staleMs: 1000 });
    expect(lens.question(seen(1), "vision", 0).edge).toBeUndefined();
    expect(lens.question(seen(2), "vision", 600).edge).toBeUndefined();
    expect(lens.question(seen(3), "vision", 1100).edge).toEqual({ price: 1, aheadMs: 1, ageMs: 1102 });
    expect(lens.question(seen(4), "vision", 1700).edge).toMatchObject({ price: 2 });
  });
});
