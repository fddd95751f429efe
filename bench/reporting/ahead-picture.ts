/** How far Dystri is ahead of, or behind, the best baseline of each cell. */
import * as Plot from "@observablehq/plot";
import { figureSvg } from "../../scripts/figure.ts";
import { WORKLOADS } from "../sim/setting.ts";
import type { ComparedCell } from "./comparison.ts";
import { legend, POLICY_SERIES } from "./series.ts";

/** Cells with the same users and load stand beside each other, apart by so much of the load. */
const APART = 0.05;

/** A panel per workload, a symbol per number of users; bars are the 95 % intervals where there are some. */
export function aheadPicture(cells: readonly ComparedCell[]): string {
  const users = [...new Set(cells.map(({ file }) => file.cell.users))].sort((a, b) => a - b);
  const series = users.map((count, i) => {
    const { colour, symbol } = POLICY_SERIES[i % POLICY_SERIES.length] ?? { colour: "currentColor", symbol: "circle" };
    return { count, label: `${count} users`, colour, symbol };
  });
  const points = cells.flatMap(({ file: { cell }, baselines: [best] }) => {
    const at = users.indexOf(cell.users);
    const own = series[at];
    if (!best || !own) return [];
    const { low, high } = best.interval ?? { low: best.ahead, high: best.ahead };
    return [
      {
        ...own,
        workload: cell.workload,
        load: cell.load * (1 + APART * (at - (users.length - 1) / 2)),
        ahead: 100 * best.ahead,
        low: 100 * low,
        high: 100 * high,
      },
    ];
  });
  const symbols = series.map(({ symbol }) => symbol);
  return figureSvg({
    description: "Effective accuracy of Dystri minus that of the best baseline of each cell, against load.",
    width: 900,
    height: 330,
    marginTop: 56,
    marginLeft: 50,
    marginRight: 66,
    marginBottom: 44,
    inset: 12,
    style: { fontSize: "12px" },
    fx: {
      label: null,
      domain: WORKLOADS.filter((name) => points.some(({ workload }) => workload === name)),
      padding: 0.06,
    },
    x: {
      type: "log",
      label: "load (1 = what the nodes answer with the full model)",
      ticks: [...new Set(cells.map(({ file }) => file.cell.load))],
      tickFormat: String,
    },
    y: { label: "Dystri ahead of the best baseline, points", grid: true, nice: true },
    symbol: { domain: symbols, range: symbols },
    marks: [
      Plot.frame({ strokeOpacity: 0.3 }),
      Plot.ruleY([0]),
      Plot.ruleX(points, { fx: "workload", x: "load", y1: "low", y2: "high", stroke: "colour", strokeWidth: 1.5 }),
      Plot.dot(points, { fx: "workload", x: "load", y: "ahead", symbol: "symbol", fill: "colour", r: 4 }),
      ...legend(series, 44, 300),
    ],
  });
}
