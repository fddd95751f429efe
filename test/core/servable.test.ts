import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Solver } from "../../bench/bounds/solver.ts";
import { policyNamed } from "../../bench/policies/registry.ts";
import { addServed, readServable, servableOf, shareText, type Served } from "../../bench/servable/results.ts";
import type { CellTask } from "../../bench/kept/solve-cells.ts";
import { solveServable } from "../../bench/servable/solve.ts";
import { loadService, settingOf, type Cell, type Service } from "../../bench/sim/setting.ts";
import { World } from "../../bench/simulator/world.ts";

const REQUESTS = 600;
const LOOKED_AT = 500;

describe("a cell", () => {
  let [service, solver]: [Service?, Solver?] = [];
  beforeAll(async () => {
    [service, solver] = [await loadService("test"), await Solver.load()];
  });

  const taskOf = (cell: Cell, thin = false): CellTask => ({
    plan: {
      key: "cell",
      cell,
      variation: thin ? { name: "thin clients", devices: [null] } : { name: "" },
      requests: REQUESTS,
      warmUpMs: 500,
      bounds: { kinds: [], seeds: 0, requests: LOOKED_AT },
    },
    seed: 1,
  });
  const solve = (task: CellTask): Served => {
    if (!service || !solver) throw new Error("not loaded");
    return solveServable(service, solver, task);
  };

  test("of little load is served whole, however often its rungs are wrong", () => {
    const result = solve(taskOf({ workload: "poisson", users: 8, load: 0.5, deadlineMs: 150 }));
    expect(result).toMatchObject({ requests: LOOKED_AT, served: LOOKED_AT, status: "optimal" });
  });

  test("of far too much is not, and no policy answers more on time than could be served", () => {
    const task = taskOf({ workload: "poisson", users: 8, load: 60, deadlineMs: 150 }, true);
    const { served, requests } = solve(task);
    expect(requests).toBe(LOOKED_AT);
    expect(served).toBeLessThan(0.9 * LOOKED_AT);
    if (!service || !solver) throw new Error("not loaded");
    const { plan, seed } = task;
    const { world, measured } = settingOf(service, plan.cell, seed, REQUESTS, plan.warmUpMs, plan.variation);
    const policy = policyNamed("static-fast+drop");
    const context = { training: service.inputs, solver, solverTimes: { byColumns: [] }, mix: new Map() };
    const records = new World(world).run(policy.make({ ...policy.defaults, machines: "all", limit: 16 }, context));
    const onTime = world.workload.requests
      .filter(measured)
      .slice(0, LOOKED_AT)
      .filter((request) => records.outcome(request)?.status === "onTime").length;
    expect(onTime).toBeGreaterThan(0);
    expect(onTime).toBeLessThanOrEqual(served + 1e-6);
  });
});

describe("what is kept", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "dystri-servable-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const of = (served: number): Served => ({ served, requests: 2000, seconds: 1, status: "optimal" });

  test("is gone on with by the same code, and begun again by other code", () => {
    const file = path.join(folder, "new", "servable.json");
    expect(readServable(file, "code-1").cells).toEqual({});
    addServed(file, "code-1", "a", 2, of(2000));
    addServed(file, "code-1", "b", 1, of(1000));
    addServed(file, "code-1", "a", 1, of(1500));
    expect(readServable(file, "code-1").cells).toEqual({ a: { 1: of(1500), 2: of(2000) }, b: { 1: of(1000) } });
    expect(readServable(file, "code-2").cells).toEqual({});
    addServed(file, "code-2", "b", 1, of(2000));
    expect(readServable(file, "code-2").cells).toEqual({ b: { 1: of(2000) } });
    expect(readServable(file, "code-1").cells).toEqual({});
    expect(readdirSync(path.dirname(file))).toEqual(["servable.json"]);
  });

  test("of another format is not read", () => {
    const file = path.join(folder, "old.json");
    writeFileSync(
      file,
      JSON.stringify({ format: "dystri-servable-0", fingerprint: "now", cells: { a: { 1: of(1) } } }),
    );
    expect(readServable(file, "now").cells).toEqual({});
  });

  test("one seed that cannot be served whole makes a cell missable; the solver's rounding does not", () => {
    const file = path.join(folder, "verdicts.json");
    addServed(file, "now", "whole", 1, of(2000));
    addServed(file, "now", "rounded", 1, of(2000 - 0.001));
    addServed(file, "now", "short", 1, of(2000));
    addServed(file, "now", "short", 2, of(2000 - 0.01));
    const found = readServable(file, "now");
    const verdict = (key: string) => {
      const servable = servableOf(found, key);
      return servable && [servable.missable, shareText(servable)];
    };
    expect(verdict("whole")).toEqual([false, "all"]);
    expect(verdict("rounded")).toEqual([false, "all"]);
    expect(verdict("short")).toEqual([true, "99.99"]);
    expect(servableOf(found, "short")).toMatchObject({ seeds: 2, requests: 2000 });
    expect(verdict("other")).toBeNull();
  });
});
