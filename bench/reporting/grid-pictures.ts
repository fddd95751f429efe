/** Pictures of the grid: one figure of several policies over users or load, a panel per workload and third axis. */
import * as Plot from "@observablehq/plot";
import { figureSvg } from "../../scripts/figure.ts";
import type { Bound } from "../sim/run-seed.ts";
import { WORKLOADS } from "../sim/setting.ts";
import type { ComparedCell, ComparedRow } from "./comparison.ts";
import { BEST_BASELINE, BOUND, legend, POLICY_SERIES, type Series } from "./series.ts";

export type Axis = "users" | "load";
type Point = { across: string; down: string; x: number; y: number };

/** One value (%) of a policy in a cell; undefined where there is none. */
type ValueOf = (row: ComparedRow) => number | null;

type GridPicture = {
  description: string;
  cells: readonly ComparedCell[];
  axis: Axis;
  yLabel: string;
  value: ValueOf;
  /** Of the cell itself, drawn as the bound. */
  bound?: (cell: ComparedCell) => number | null;
  y?: Plot.ScaleOptions;
  rules?: readonly number[];
};

const percent = (share: number): number => 100 * share;

export const accuracy: ValueOf = (row) => percent(row.effectiveAccuracy);
export const misses: ValueOf = (row) => percent(row.missRate);

/** What the clairvoyant bound allows of its requests, in %, over the seeds that have one. */
export function clairvoyantShare({ file }: ComparedCell): number | null {
  const bounds = file.seeds.flatMap(({ bounds: { clairvoyant } }): Bound[] => (clairvoyant ? [clairvoyant] : []));
  const requests = bounds.reduce((sum, bound) => sum + bound.requests, 0);
  return requests > 0 ? percent(bounds.reduce((sum, bound) => sum + bound.value, 0) / requests) : null;
}

/** Columns of panels by load (or users), rows by workload. */
export function gridPicture({ description, cells, axis, yLabel, value, bound, y, rules = [] }: GridPicture): string {
  const other = axis === "users" ? "load" : "users";
  const acrossOf = ({ file }: ComparedCell): string =>
    other === "load" ? `load ${file.cell.load}` : `${file.cell.users} users`;
  const points = (series: Series): Point[] =>
    cells.flatMap((cell) => {
      const row =
        series.name === BEST_BASELINE ? cell.baselines[0] : cell.rows.find(({ policy }) => policy === series.name);
      const found = series.name === BOUND ? bound?.(cell) : row && value(row);
      if (found === null || found === undefined) return [];
      const { workload } = cell.file.cell;
      return [{ across: acrossOf(cell), down: workload, x: cell.file.cell[axis], y: found }];
    });
  const drawn = POLICY_SERIES.map((series) => ({ series, points: points(series) })).filter((one) => one.points.length);
  const ticks = [...new Set(cells.map(({ file }) => file.cell[axis]))].sort((a, b) => a - b);
  const columns = [...new Set(cells.map(acrossOf))].sort((a, b) => numberIn(a) - numberIn(b));
  const rows = WORKLOADS.filter((name) => cells.some(({ file }) => file.cell.workload === name));
  const at = { fx: "across", fy: "down", x: "x", y: "y" } as const;
  return figureSvg({
    description,
    width: 900,
    height: 470,
    marginTop: 56,
    marginLeft: 50,
    marginRight: 66,
    marginBottom: 44,
    inset: 8,
    style: { fontSize: "12px" },
    fx: { label: null, domain: columns, padding: 0.08 },
    fy: { label: null, domain: rows, padding: 0.1 },
    x: {
      type: "log",
      label: axis === "users" ? "users" : "load (1 = what the nodes answer with the full model)",
      ticks,
      tickFormat: String,
    },
    y: { label: yLabel, grid: true, nice: true, ...y },
    marks: [
      Plot.frame({ strokeOpacity: 0.3 }),
      Plot.ruleY(rules, { strokeDasharray: "2 3" }),
      // The first series last, so that nothing hides it.
      ...drawn.toReversed().flatMap(({ series, points: found }) => [
        Plot.line(found, {
          ...at,
          stroke: series.colour,
          strokeWidth: series.name === "dystri" ? 2.5 : 1.5,
          ...(series.dash ? { strokeDasharray: series.dash } : {}),
        }),
        Plot.dot(found, { ...at, symbol: series.symbol, fill: series.colour, stroke: series.colour, r: 3.2 }),
      ]),
      ...legend(
        drawn.map(({ series }) => series),
        44,
      ),
    ],
  });
}

function numberIn(text: string): number {
  return Number(/[\d.]+/.exec(text)?.[0]);
}
