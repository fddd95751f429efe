/** Small pieces of Markdown. */
import { isSure, type Interval } from "./paired.ts";

/** The first column is text, the others are numbers. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

export function percent(share: number | null, digits = 2): string {
  return share === null ? "–" : (100 * share).toFixed(digits);
}

/** A difference of shares in points, with its sign. */
export function points(share: number): string {
  const text = (100 * share).toFixed(2);
  return Number(text) > 0 ? `+${text}` : Number(text) === 0 ? "0.00" : text.replace("-", "−");
}

/** Of a difference of shares, in points; a dash where there were too few seeds. Bold where it leaves zero out. */
export function intervalText(interval: Interval | null): string {
  if (interval === null) return "–";
  const text = `${points(interval.low)} … ${points(interval.high)}`;
  return isSure(interval) ? `**${text}**` : text;
}

/** Least and most; one number where they are the same. */
export function range(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? `${least}` : `${least} to ${most}`;
}
