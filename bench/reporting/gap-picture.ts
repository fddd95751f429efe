/** What each kind of knowledge is worth: the steps from the information bound down to Dystri, over load. */
import * as Plot from "@observablehq/plot";
import { figureSvg } from "../../scripts/figure.ts";
import { STEPS } from "../gap/results.ts";
import { BOUND_NAME, STEP_NAMES, type GapRow, type Step } from "../gap/rows.ts";
import { WORKLOADS } from "../sim/setting.ts";
import { COLOURS, legend, type Series } from "./series.ts";

const LOOKS: Record<Step | "bound", Omit<Series, "name" | "label">> = {
  bound: { colour: COLOURS.ink, symbol: "times", dash: "1 3" },
  foresight: { colour: COLOURS.purple, symbol: "star", dash: "4 3" },
  arriving: { colour: COLOURS.green, symbol: "diamond", dash: "8 3 2 3" },
  unseen: { colour: COLOURS.gold, symbol: "triangle", dash: "2 2" },
  steady: { colour: COLOURS.vermilion, symbol: "square", dash: "6 2" },
  dystri: { colour: COLOURS.blue, symbol: "circle" },
};

/** A row of panels per workload, a column per deadline. */
export function gapPicture(rows: readonly GapRow[]): string {
  const series = (["bound", ...STEPS] as const).map((step) => ({
    ...LOOKS[step],
    label: step === "bound" ? BOUND_NAME : STEP_NAMES[step],
    points: rows.map((row) => ({
      across: `${row.deadlineMs} ms`,
      down: row.workload,
      x: row.load,
      y: step === "bound" ? row.bound : row.right[step],
    })),
  }));
  const at = { fx: "across", fy: "down", x: "x", y: "y" } as const;
  const deadlines = [...new Set(rows.map(({ deadlineMs }) => deadlineMs))].sort((a, b) => a - b);
  return figureSvg({
    description:
      "Expected right answers on time by what is known beforehand, from the information bound to Dystri, against load.",
    width: 900,
    height: 520,
    marginTop: 76,
    marginLeft: 50,
    marginRight: 66,
    marginBottom: 44,
    inset: 8,
    style: { fontSize: "12px" },
    fx: { label: null, domain: deadlines.map((ms) => `${ms} ms`), padding: 0.06 },
    fy: {
      label: null,
      domain: WORKLOADS.filter((name) => rows.some(({ workload }) => workload === name)),
      padding: 0.1,
    },
    x: {
      type: "log",
      label: "load (1 = what the nodes answer with the full model)",
      ticks: [...new Set(rows.map(({ load }) => load))].sort((a, b) => a - b),
      tickFormat: String,
    },
    y: { label: "expected right and on time, %", grid: true, nice: true },
    marks: [
      Plot.frame({ strokeOpacity: 0.3 }),
      // Dystri last, so that nothing hides it.
      ...series.flatMap(({ points, colour, symbol, dash, label }) => [
        Plot.line(points, {
          ...at,
          stroke: colour,
          strokeWidth: label === STEP_NAMES.dystri ? 2.5 : 1.5,
          ...(dash ? { strokeDasharray: dash } : {}),
        }),
        Plot.dot(points, { ...at, symbol, fill: colour, stroke: colour, r: 3.2 }),
      ]),
      ...legend(series.slice(0, 3), 64, 300),
      ...legend(series.slice(3), 44, 300),
    ],
  });
}
