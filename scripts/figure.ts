/**
 * Pictures for documents: an Observable Plot specification becomes the text of an SVG file, without a browser. The same
 * specification gives the same bytes. Readable on any page: the picture brings its own paper, white or dark by the
 * reader's colour scheme, and draws in its `currentColor`; series take INKS, which stand out on both.
 */
import * as Plot from "@observablehq/plot";
import { DOMParser } from "linkedom";

/** Blue and vermilion of Okabe and Ito: told apart by colour-blind eyes, contrast above 3.5 on either paper. */
export const INKS = { blue: "#0072b2", vermilion: "#d55e00" } as const;

const NAMESPACE = "http://www.w3.org/2000/svg";
const STYLE =
  "svg{color:#1f2328;--plot-background:#fff}.paper{fill:#fff}" +
  "@media(prefers-color-scheme:dark){svg{color:#e6edf3;--plot-background:#0d1117}.paper{fill:#0d1117}}";

/** The colour of the paper, for what must cover or set off. */
export const PAPER = "var(--plot-background)";

export type Figure = Omit<Plot.PlotOptions, "document" | "title" | "subtitle" | "caption" | "figure"> & {
  /** What the picture shows, for those who do not see it. */
  description: string;
};

/** What is used here of the DOM's element, whose types this project leaves out. */
type SvgElement = {
  outerHTML: string;
  setAttribute(name: string, value: string): void;
  querySelector(selector: string): { textContent: string | null; after(node: unknown): void } | null;
};

/** The text of a stand-alone SVG file. */
export function figureSvg({ description, ...options }: Figure): string {
  // Of an XML document, so that texts and attributes are written escaped.
  const document = new DOMParser().parseFromString(`<svg xmlns="${NAMESPACE}"/>`, "image/svg+xml");
  const svg = Plot.plot({ ...options, document, figure: false }) as unknown as SvgElement;
  svg.setAttribute("xmlns", NAMESPACE);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", description);
  const style = svg.querySelector("style");
  if (!style) throw new Error("Plot's SVG has no style element");
  style.textContent = `${style.textContent ?? ""}\n${STYLE}\n`;
  const paper = document.createElementNS(NAMESPACE, "rect", null);
  for (const [name, value] of Object.entries({ class: "paper", width: "100%", height: "100%" })) {
    paper.setAttribute(name, value);
  }
  style.after(paper);
  return `${withShortNumbers(svg.outerHTML)}\n`;
}

/** Hundredths of a pixel are enough, and keep the file small. Texts keep their numbers. */
function withShortNumbers(svg: string): string {
  return svg.replace(/ (?:d|transform|[xy][12]?|c[xy]|r|width|height)="[^"]*"/g, (attribute) =>
    attribute.replace(/-?\d+\.\d{3,}/g, (number) => String(Number(Number(number).toFixed(2)))),
  );
}
