import * as Plot from "@observablehq/plot";
import { expect, test } from "vitest";
import { figureSvg, INKS } from "../../scripts/figure.ts";

const draw = (): string =>
  figureSvg({
    description: "A line & a label",
    width: 300,
    height: 200,
    x: { label: "milliseconds" },
    marks: [
      Plot.line(
        [
          [0, 1],
          [1 / 3, 2],
          [1, 5],
        ],
        { stroke: INKS.blue },
      ),
      Plot.text([[0.5, 3]], { text: () => "0.0625 < x" }),
    ],
  });

test("a figure is a stand-alone SVG with its description, its own paper in both colour schemes, and escaped text", () => {
  const svg = draw();
  expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  expect(svg).toContain('aria-label="A line &amp; a label"');
  expect(svg).toContain("0.0625 &lt; x");
  expect(svg).toContain('class="paper"');
  expect(svg).toContain("prefers-color-scheme:dark");
  expect(svg).toContain("milliseconds");
});

test("coordinates are short and the bytes the same every time", () => {
  const svg = draw();
  expect(svg).not.toMatch(/ (?:d|transform|x|y|x1|y1|cx|cy)="[^"]*\.\d{3}/);
  expect(draw()).toBe(svg);
});
