/** Which cells are run, with what. */
import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { CORE_NAMES, DYSTRI, policies, policyNamed, type Parameters } from "../policies/registry.ts";
import type { Task } from "./run-seed.ts";
import { WARM_UP_MS, type Cell, type Variation, type WorkloadName } from "./setting.ts";

/** A row of results: a policy with some parameters. */
export type Row = Task["policies"][number];

export type CellPlan = {
  /** Name of its results file, without the ending. */
  key: string;
  cell: Cell;
  variation: Variation;
  rows: Row[];
  seeds: number;
  requests: number;
  warmUpMs: number;
  /** Bounds are made for the first seeds, over their first requests. */
  bounds: { kinds: Task["bounds"]; seeds: number; requests: number };
};

export type Grid = { name: "quick" | "full" | "trace"; cells: CellPlan[] };

/** What others are compared with. */
const DYSTRI_ROW: Row = { name: DYSTRI, of: DYSTRI, parameters: {} };
const ABLATED_USERS = [8, 32];
const SHAPES: WorkloadName[] = ["poisson", "mmpp2"];

/** Minutes: enough to see what broke. */
export function quickGrid(rows: Row[]): Grid {
  const size = { seeds: 2, requests: 1500, warmUpMs: 3000 };
  const bounds: CellPlan["bounds"] = { kinds: ["clairvoyant"], seeds: 1, requests: 1500 };
  const cells = SHAPES.flatMap((workload) =>
    [8, 32].flatMap((users) =>
      [0.5, 2.5, 5].map((load) => planOf({ workload, users, load, deadlineMs: 100 }, rows, size, bounds)),
    ),
  );
  return { name: "quick", cells };
}

/** What is reported. */
export function fullGrid(rows: Row[]): Grid {
  const size = { seeds: 10, requests: 3000, warmUpMs: WARM_UP_MS };
  const bounds: CellPlan["bounds"] = { kinds: ["clairvoyant", "information"], seeds: 3, requests: 2000 };
  // Ablations take as long as Dystri itself: where there are few users and where there are many.
  const rowsAt = (users: number): Row[] =>
    ABLATED_USERS.includes(users) ? rows : rows.filter(({ of }) => policyNamed(of).kind !== "ablation");
  const cells = SHAPES.flatMap((workload) =>
    [4, 8, 16, 32, 64].flatMap((users) =>
      [0.5, 1, 2.5, 5].flatMap((load) =>
        [75, 150].map((deadlineMs) => planOf({ workload, users, load, deadlineMs }, rowsAt(users), size, bounds)),
      ),
    ),
  );
  return { name: "full", cells: [...cells, ...axes(rows)] };
}

/** A recorded trace in place of the generators, at three loads; no bounds. `name` tells one trace from another. */
export function traceGrid(rows: Row[], name: string, trace: NonNullable<Variation["trace"]>): Grid {
  const size = { seeds: 3, requests: 3000, warmUpMs: WARM_UP_MS };
  const users = trace.perMinute.length;
  const cells = [0.5, 2.5, 5].map((load) =>
    planOf(
      { workload: "azure", users, load, deadlineMs: 100 },
      rows,
      size,
      { kinds: [], seeds: 0, requests: 0 },
      { name, trace },
    ),
  );
  return { name: "trace", cells };
}

/** One thing changed at a time, around one cell. */
function axes(rows: Row[]): CellPlan[] {
  const middle: Cell = { workload: "poisson", users: 16, load: 2.5, deadlineMs: 100 };
  const size = { seeds: 10, requests: 3000, warmUpMs: WARM_UP_MS };
  const none: CellPlan["bounds"] = { kinds: [], seeds: 0, requests: 0 };
  const at = (cell: Partial<Cell>, variation: Variation, own = rows): CellPlan =>
    planOf({ ...middle, ...cell }, own, size, none, variation);
  const struck = WARM_UP_MS + 2000;
  return [
    at({}, { name: "middle" }),
    at({ workload: "mmpp2" }, { name: "middle" }),
    ...(["gamma2", "gamma4", "gamma8", "ramp"] as const).map((workload) => at({ workload }, { name: "arrivals" })),
    at({}, { name: "thin clients", devices: [null] }),
    at({}, { name: "fast devices", devices: [60] }),
    at({}, { name: "slow devices", devices: [400] }),
    at({}, { name: "collapsing links", collapse: true }),
    at({}, { name: "greedy user", greedy: 20 }),
    at({}, { name: "zipf users", zipf: 1 }),
    at({}, { name: "mixed deadlines", deadlinesMs: [50, 75, 100, 150] }),
    at({}, { name: "node dies", faults: [{ atMs: struck, kind: "die", node: 0, forMs: 3000 }] }),
    at({}, { name: "node pauses", faults: [{ atMs: struck, kind: "pause", node: 0, forMs: 2000 }] }),
    at({}, { name: "node slows", faults: [{ atMs: struck, kind: "slow", node: 0, factor: 3, forMs: 4000 }] }),
    at({}, { name: "cores" }, coreRows()),
    at({ workload: "mmpp2" }, { name: "cores" }, coreRows()),
    at({}, { name: "network-blind" }, blindRows()),
  ];
}

/** Selectors crossed with orders, drop rules and stepping down. */
function coreRows(): Row[] {
  const selectors = [
    "static-fast",
    "static-best",
    "greedy-aggressive",
    "clipper-mid",
    "slackfit",
    "infaas-accuracy",
    "gie",
    "edgeserving",
  ];
  const crossed = selectors.flatMap((of) =>
    CORE_NAMES.map((core): Row => ({ name: `${of} @ ${core}`, of, parameters: { core } })),
  );
  return [DYSTRI_ROW, ...crossed];
}

/** Systems that know of no network, with its part taken off their deadlines and without. */
function blindRows(): Row[] {
  const names = [
    "greedy-aggressive",
    "clipper-mid",
    "slackfit",
    "infaas-accuracy",
    "gie+drop",
    "edgeserving+drop",
    "proteus",
  ];
  const pairs = names.flatMap((of): Row[] => [
    { name: of, of, parameters: {} },
    { name: `${of}+blind`, of: `${of}+blind`, parameters: {} },
  ]);
  return [DYSTRI_ROW, ...pairs];
}

/** `tuned`: parameters by policy; a policy that has some is run with them as well. */
export function rowsOf(names: readonly string[] | null, tuned: Record<string, Parameters>): Row[] {
  const chosen = names ?? policies().map(({ name }) => name);
  return chosen.flatMap((name): Row[] => {
    const own = tuned[name];
    const row = { name, of: name, parameters: {} };
    return own ? [row, { name: `${name} (tuned)`, of: name, parameters: own }] : [row];
  });
}

/** The mix of choices of Dystri is what one baseline draws from. */
export function withDystri(rows: Row[]): Row[] {
  const needs = rows.some(({ of }) => of === "random-mix") && !rows.some(({ of }) => of === DYSTRI);
  return needs ? [DYSTRI_ROW, ...rows] : rows;
}

export function tasksOf(plan: CellPlan): Task[] {
  const { cell, variation, rows, requests, warmUpMs, bounds } = plan;
  return Array.from({ length: plan.seeds }, (_, index) => ({
    cell,
    variation,
    seed: index + 1,
    requests,
    warmUpMs,
    policies: rows,
    bounds: index < bounds.seeds ? bounds.kinds : [],
    boundRequests: bounds.requests,
  }));
}

/** Of everything a result depends on: other code, other results. */
export function fingerprint(root: string): string {
  const files = globSync(
    [
      "control/*.ts",
      "protocol/*.ts",
      "bench/{simulator,policies,bounds,sim,lib}/**/*.{ts,json}",
      "bench/replay/*.json",
      "models/*/app.json",
    ],
    { cwd: root },
  ).sort();
  const hash = createHash("sha256");
  for (const file of files) hash.update(file).update(readFileSync(path.join(root, file)));
  return hash.digest("hex").slice(0, 16);
}

function planOf(
  cell: Cell,
  rows: Row[],
  size: Pick<CellPlan, "seeds" | "requests" | "warmUpMs">,
  bounds: CellPlan["bounds"],
  variation: Variation = { name: "" },
): CellPlan {
  const { workload, users, load, deadlineMs } = cell;
  const axis = variation.name ? `${variation.name.replaceAll(" ", "-")}.` : "";
  const key = `${axis}${workload}-${users}u-${load}x-${deadlineMs}ms`;
  return { key, cell, variation, rows: withDystri(rows), ...size, bounds };
}
