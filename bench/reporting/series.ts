/** What lines and areas look like in all of the report's pictures. A colour never stands alone: symbols and dashes go with it. */
import * as Plot from "@observablehq/plot";
import { INKS } from "../../scripts/figure.ts";

export type Series = { name: string; label: string; colour: string; symbol: Plot.SymbolType; dash?: string };

/** Okabe and Ito's colours, the lighter ones darkened until they stand out on white too. */
export const COLOURS = { ...INKS, green: "#009e73", purple: "#b0568f", gold: "#a87900", ink: "currentColor" } as const;

export const BEST_BASELINE = "best baseline";
export const BOUND = "bound";

export const POLICY_SERIES: readonly Series[] = [
  { name: "dystri", label: "Dystri", colour: COLOURS.blue, symbol: "circle" },
  {
    name: BEST_BASELINE,
    label: "best baseline of each cell",
    colour: COLOURS.vermilion,
    symbol: "square",
    dash: "6 2",
  },
  { name: "greedy+drop", label: "greedy+drop", colour: COLOURS.gold, symbol: "triangle", dash: "2 2" },
  { name: "static-best", label: "static-best", colour: COLOURS.green, symbol: "diamond", dash: "8 3 2 3" },
  { name: "static-fast", label: "static-fast", colour: COLOURS.purple, symbol: "star", dash: "4 3" },
  { name: BOUND, label: "upper bound", colour: COLOURS.ink, symbol: "times", dash: "1 3" },
];

const LETTER_PX = 6.2;
const GAP_PX = 30;

/** Beside the name of the y axis, which stands at the picture's left edge. */
const BESIDE_PX = 190;

/** A row of symbols and names above the panels, `up` pixels over the frame. */
export function legend(series: readonly Omit<Series, "name">[], up: number, fromPx = BESIDE_PX): Plot.Markish[] {
  let at = fromPx + 6;
  return series.flatMap(({ label, colour, symbol }) => {
    const place = { facet: "super", frameAnchor: "top-left", dy: -up } as const;
    const marks = [
      Plot.dot([label], { ...place, dx: at, symbol, fill: colour, stroke: colour, r: 4 }),
      Plot.text([label], {
        ...place,
        dx: at + 11,
        text: (text: string) => text,
        textAnchor: "start",
        lineAnchor: "middle",
        fill: "currentColor",
      }),
    ];
    at += GAP_PX + LETTER_PX * label.length;
    return marks;
  });
}
