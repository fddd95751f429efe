/** Cells in which two parts of a policy were crossed: a selector with an order and a drop rule, or with what it knows. */
import { DYSTRI } from "../policies/registry.ts";
import { rowsOfCell, type CellFile, type CellRow } from "../sim/results.ts";
import { titleOf } from "./comparison.ts";
import { markdownTable, percent } from "./markdown.ts";

const CORE_MARK = " @ ";
const BLIND = "+blind";

/** `a @ b` is `a` with core `b`; `a+blind` is `a` without the network's part. */
function partsOf(policy: string): [selector: string, part: string] {
  const [selector = policy, core] = policy.split(CORE_MARK);
  if (core !== undefined) return [selector, core];
  return policy.endsWith(BLIND) ? [policy.slice(0, -BLIND.length), "knows no network"] : [policy, "knows the network"];
}

export function isCrossed({ variation }: CellFile): boolean {
  return variation === "cores" || variation === "network-blind";
}

const textOf = (row: CellRow): string => `${percent(row.effectiveAccuracy, 1)} (${percent(row.missRate, 1)})`;

/** Effective accuracy and, in brackets, misses: a row per selector, a column per part. */
export function crossedTable(file: CellFile): string {
  const found = rowsOfCell(file);
  const own = found.find(({ policy }) => policy === DYSTRI);
  const others = found.filter((row) => row !== own);
  const rows = others.map((row) => {
    const [selector, part] = partsOf(row.policy);
    return { selector, part, text: textOf(row) };
  });
  const parts = [...new Set(rows.map(({ part }) => part))];
  const selectors = [...new Set(rows.map(({ selector }) => selector))];
  const body = selectors.map((selector) => [
    selector,
    ...parts.map((part) => rows.find((row) => row.selector === selector && row.part === part)?.text ?? ""),
  ]);
  const beside = own ? `; Dystri ${textOf(own)}` : "";
  return `${titleOf(file)}; effective accuracy, % (missed, %)${beside}:\n\n${markdownTable(["selection", ...parts], body)}`;
}
