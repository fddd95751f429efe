/** The pictures of the ladders: one per card, and all side by side. */
import * as Plot from "@observablehq/plot";
import type { Application } from "../protocol/application.ts";
import { interval, type Evaluation } from "./evaluation.ts";
import { figureSvg, INKS, PAPER } from "./figure.ts";

const percent = (share: number): number => 100 * share;

/** Labels of a logarithmic axis: powers of ten; of a short one also twice and five times as much. */
function logLabels(mflops: readonly number[]): (value: number) => string {
  const decades = Math.log10(Math.max(...mflops) / Math.min(...mflops));
  const labelled = decades < 2.5 ? [1, 2, 5] : [1];
  return (value) =>
    labelled.includes(Number(value.toExponential().split("e")[0]))
      ? value.toLocaleString("en", { maximumFractionDigits: 6 })
      : "";
}

/** A rung as a point: its accuracy on test with the 95 % interval, against what its answer costs. */
type RungPoint = { name: string; mflops: number; accuracy: number; low: number; high: number };

function rungPoints({ rungs, quality }: Application): RungPoint[] {
  return rungs.map(({ name, mflops, quality: { test } }) => {
    const half = interval(test, quality.samples.test);
    return {
      name,
      mflops: mflops.cumulative,
      accuracy: percent(test),
      low: percent(test - half),
      high: percent(test + half),
    };
  });
}

/** A line for each rung that resumes from another. */
function resumptions(application: Application, points: RungPoint[]): { from: RungPoint; to: RungPoint }[] {
  return application.rungs.flatMap(({ resumesFrom }, to) =>
    resumesFrom === "input" ? [] : [{ from: points[resumesFrom] as RungPoint, to: points[to] as RungPoint }],
  );
}

const linkOptions = {
  x1: (d: { from: RungPoint }) => d.from.mflops,
  y1: (d: { from: RungPoint }) => d.from.accuracy,
  x2: (d: { to: RungPoint }) => d.to.mflops,
  y2: (d: { to: RungPoint }) => d.to.accuracy,
  strokeOpacity: 0.5,
};

/** Accuracy on test against the mean cost of an input: the cascade by one threshold, and the rungs each alone. */
export function thresholdPicture(application: Application, { sweep, chosen }: Evaluation): string {
  const points = rungPoints(application);
  const curve = sweep.map(({ mflops, accuracy }) => [mflops, percent(accuracy)] as const);
  const spot = [chosen.test.mflops, percent(chosen.test.accuracy)] as const;
  return figureSvg({
    description:
      `${application.title}: test accuracy against mean MFLOPs of an input. ` +
      "A curve for the cascade by one threshold, dots for the rungs alone.",
    width: 560,
    height: 320,
    marginLeft: 48,
    marginRight: 24,
    marginBottom: 40,
    inset: 12,
    insetBottom: 20,
    style: { fontSize: "12px" },
    x: {
      type: "log",
      label: "mean MFLOPs of an input",
      tickFormat: logLabels([...points.map(({ mflops }) => mflops), ...sweep.map(({ mflops }) => mflops)]),
    },
    y: { label: "test accuracy, %", grid: true, nice: true },
    marks: [
      Plot.link(resumptions(application, points), linkOptions),
      Plot.line(curve, { stroke: INKS.blue, strokeWidth: 2 }),
      Plot.ruleX(points, { x: "mflops", y1: "low", y2: "high" }),
      Plot.dot(points, { x: "mflops", y: "accuracy", r: 3.5, fill: "currentColor" }),
      Plot.text(points, {
        x: "mflops",
        y: "low",
        text: "name",
        dy: 10,
        stroke: PAPER,
        strokeWidth: 4,
        fill: "currentColor",
      }),
      Plot.dot([spot], { r: 6, symbol: "diamond", fill: INKS.vermilion }),
      Plot.text([`◆ threshold ${chosen.threshold}, chosen on validation`], {
        frameAnchor: "bottom-right",
        dy: -14,
        text: (line: string) => line,
        stroke: PAPER,
        strokeWidth: 4,
        fill: INKS.vermilion,
      }),
    ],
  });
}

const COLUMNS = 4;
/** Small panels need no more of the sweep's points. */
const EVERY = 3;

/** The same for all applications, a panel each, on common axes. */
export function laddersPicture(ladders: readonly { application: Application; evaluation: Evaluation }[]): string {
  const panels = ladders.map(({ application, evaluation }, i) => {
    const at = { fx: i % COLUMNS, fy: Math.floor(i / COLUMNS) };
    const points = rungPoints(application);
    const sweep = evaluation.sweep.filter((_, point) => point % EVERY === 0);
    return { ...at, name: application.name, points, links: resumptions(application, points), sweep };
  });
  const faceted = <T>(of: (panel: (typeof panels)[number]) => readonly T[]): (T & { fx: number; fy: number })[] =>
    panels.flatMap((panel) => of(panel).map((item) => ({ ...item, fx: panel.fx, fy: panel.fy })));
  const points = faceted(({ points }) => points);
  const facets = { fx: "fx", fy: "fy" } as const;
  return figureSvg({
    description:
      `Test accuracy against MFLOPs of ${ladders.length} applications, a panel each: ` +
      "dots for rungs alone, a curve for the cascade by one threshold.",
    width: 880,
    height: 460,
    marginLeft: 44,
    marginRight: 12,
    marginTop: 28,
    marginBottom: 40,
    inset: 8,
    style: { fontSize: "12px" },
    fx: { axis: null, padding: 0.06 },
    fy: { axis: null, padding: 0.16 },
    x: { type: "log", label: "MFLOPs of an input", tickFormat: logLabels(points.map(({ mflops }) => mflops)) },
    y: { label: "test accuracy, %", grid: true, nice: true },
    marks: [
      Plot.frame({ strokeOpacity: 0.3 }),
      Plot.text(panels, { ...facets, text: "name", frameAnchor: "top", dy: -14, fontWeight: "bold" }),
      Plot.link(
        faceted(({ links }) => links),
        { ...facets, ...linkOptions },
      ),
      Plot.line(
        faceted(({ sweep }) => sweep),
        {
          ...facets,
          x: "mflops",
          y: ({ accuracy }: { accuracy: number }) => percent(accuracy),
          stroke: INKS.blue,
          strokeWidth: 1.5,
        },
      ),
      Plot.ruleX(points, { ...facets, x: "mflops", y1: "low", y2: "high" }),
      Plot.dot(points, { ...facets, x: "mflops", y: "accuracy", r: 2.5, fill: "currentColor" }),
    ],
  });
}
