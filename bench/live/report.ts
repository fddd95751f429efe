/** What bench:live prints, and keeps in .dystri/bench/live.json. */
import { STATUSES } from "../simulator/records.ts";
import { table } from "../simulator/table.ts";
import type { Calibration } from "./calibrate.ts";
import type { RunError, RunFigures } from "./comparison.ts";

/** One policy on one trace, live and simulated. */
export type Row = {
  workload: string;
  load: number;
  policy: string;
  /** How long the run was. */
  runMs: number;
  arrivals: { perS: number; cv: number; idc: number; peak: number };
  live: RunFigures;
  simulated: RunFigures;
  error: RunError;
  /** How late the generator was with a request; it is in the live latencies. */
  lagP50Ms: number;
  lagP99Ms: number;
  /** The first failure that was no refusal. */
  firstError: string | null;
};

export type Result = {
  machine: string;
  options: Record<string, unknown>;
  calibration: Calibration;
  cells: Row[];
  /** Cells for which no time was left. */
  leftOut: string[];
};

/** Counts of fewer seconds say nothing of dispersion. */
const LEAST_DISPERSION_MS = 10_000;

const percent = (share: number): string => (100 * share).toFixed(1);
const signed = (value: number, digits = 1): string => `${value < 0 ? "" : "+"}${value.toFixed(digits)}`;

export function report({ calibration, options, cells, leftOut }: Result): void {
  console.log(describe(calibration));
  const keys = [...new Set(cells.map(keyOf))];
  for (const key of keys) {
    const rows = cells.filter((row) => keyOf(row) === key);
    const { arrivals, runMs } = rows[0] as Row;
    console.log(
      `\n${key}, ${String(options["deadlineMs"])} ms: ${arrivals.perS.toFixed(0)} requests/s for ${(runMs / 1000).toFixed(1)} s, CV ${arrivals.cv.toFixed(2)}, ` +
        `${runMs < LEAST_DISPERSION_MS ? "" : `IDC(1 s) ${arrivals.idc.toFixed(1)}, peak/mean ${arrivals.peak.toFixed(2)}, `}late counts as wrong`,
    );
    console.log(liveTable(rows));
  }
  console.log("\nThe simulator on the same traces (simulated less live):");
  console.log(errorTable(cells));
  const mean = (of: (row: Row) => number): string =>
    (cells.reduce((sum, row) => sum + Math.abs(of(row)), 0) / Math.max(1, cells.length)).toFixed(1);
  console.log(
    `mean absolute error: p50 ${mean(({ error }) => error.p50Ms)} ms (${mean(({ error }) => 100 * error.p50Share)} %), ` +
      `p99 ${mean(({ error }) => error.p99Ms)} ms (${mean(({ error }) => 100 * error.p99Share)} %), ` +
      `misses ${mean(({ error }) => error.missPoints)} points, effective accuracy ${mean(({ error }) => error.accuracyPoints)} points`,
  );
  const worstLag = Math.max(...cells.map(({ lagP99Ms }) => lagP99Ms));
  console.log(
    `the generator was late by at most ${worstLag.toFixed(1)} ms (worst 99th percentile of a run); it counts`,
  );
  for (const { policy, firstError, ...row } of cells) {
    if (firstError !== null) console.log(`${keyOf(row)}, ${policy}: first error: ${firstError}`);
  }
  if (leftOut.length > 0) console.log(`no time was left for ${leftOut.join("; ")}: more --seconds, or fewer policies`);
  console.log("results: .dystri/bench/live.json");
}

function keyOf({ workload, load }: Pick<Row, "workload" | "load">): string {
  return `${workload}, ${load}x`;
}

function describe({ measured }: Calibration): string {
  const list = (values: Record<string, number>): string =>
    Object.entries(values)
      .map(([name, value]) => `${name} ${value.toFixed(2)}`)
      .join(", ");
  return [
    `edge over its profile: ${list(measured.edgeSlowdown)}; nodes over theirs: ${list(measured.nodeSlowdown)}; spread of runs ${measured.sigma.toFixed(2)}`,
    `ms: edge call ${measured.edgeCallMs.toFixed(2)}, object ${measured.objectMs.toFixed(2)}, node link ${measured.linkMs.toFixed(2)}, ` +
      `front by application ${list(measured.frontMs)}; beside these ${list(measured.wireMs)}`,
  ].join("\n");
}

function liveTable(rows: readonly Row[]): string {
  return table(
    [
      "policy",
      "offered",
      "effective accuracy %",
      "missed %",
      ...STATUSES,
      "on-time accuracy %",
      "p50 ms",
      "p99 ms",
      "by nodes %",
      "depth %",
    ],
    [...rows]
      .sort((a, b) => b.live.effectiveAccuracy - a.live.effectiveAccuracy)
      .map(({ policy, live }) => [
        policy,
        `${live.offered}`,
        percent(live.effectiveAccuracy),
        percent(live.missRate),
        ...STATUSES.map((status) => `${live.counts[status]}`),
        percent(live.onTimeAccuracy),
        live.p50Ms.toFixed(1),
        live.p99Ms.toFixed(1),
        percent(live.nodeShare),
        percent(live.depth),
      ]),
  );
}

function errorTable(rows: readonly Row[]): string {
  return table(
    ["cell", "policy", "p50 ms", "p99 ms", "missed %", "effective accuracy %", "same fate %", "by nodes %", "depth %"],
    rows.map(({ workload, load, policy, live, simulated, error }) => [
      keyOf({ workload, load }),
      policy,
      `${live.p50Ms.toFixed(1)} ${signed(error.p50Ms)}`,
      `${live.p99Ms.toFixed(1)} ${signed(error.p99Ms)}`,
      `${percent(live.missRate)} ${signed(error.missPoints)}`,
      `${percent(live.effectiveAccuracy)} ${signed(error.accuracyPoints)}`,
      percent(error.sameFate),
      `${percent(live.nodeShare)} ${signed(100 * (simulated.nodeShare - live.nodeShare), 0)}`,
      `${percent(live.depth)} ${signed(100 * (simulated.depth - live.depth), 0)}`,
    ]),
  );
}
