/** Questions about a ladder: what a rung runs, what that costs, what a confidence means. */
import type { Application, EvidenceRow, Rung } from "../protocol/application.ts";

/** Where a computation starts: the input, or the cut left by a rung's stage. */
export type From = "input" | number;

/** The rung of that index; throws RangeError on an index the ladder does not have (a caller's mistake). */
export function rungAt(application: Application, rung: number): Rung {
  const found = application.rungs[rung];
  if (!found) throw new RangeError(`${application.name} has no rung ${rung}`);
  return found;
}

/**
 * The rungs whose stages must run, in order, to answer with `rung` starting at `from`; null when `from` is a cut that
 * does not lie on the way. From the input of a chain e1←e2←e3, rung 2 runs [0, 1, 2]; from cut 0 it runs [1, 2].
 */
export function chain(application: Application, rung: number, from: From): number[] | null {
  const way: number[] = [];
  for (let at: From = rung; at !== from; at = rungAt(application, at).resumesFrom) {
    if (at === "input") return null;
    way.unshift(at);
  }
  return way;
}

/** Reference milliseconds of the stages `chain` names. */
export function chainReferenceMs(application: Application, way: readonly number[], where: "edge" | "node"): number {
  return way.reduce((sum, rung) => sum + rungAt(application, rung).referenceMs[where], 0);
}

/** Index of the evidence row a confidence falls in: the row with from < confidence ≤ to, the first one below all. */
export function binOf(rows: readonly EvidenceRow[], confidence: number): number {
  for (let bin = rows.length - 1; bin > 0; bin--) {
    if (confidence > (rows[bin] as EvidenceRow).from) return bin;
  }
  return 0;
}

/** P(right at rung `at` | exit `exit` answered with a confidence in `bin`). */
export function rightGiven(application: Application, exit: number, bin: number, at: number): number {
  const rows = rungAt(application, exit).evidence;
  const row = rows[Math.min(bin, rows.length - 1)];
  const right = row?.right[at];
  if (right === undefined)
    throw new RangeError(`${application.name}: no evidence at exit ${exit}, bin ${bin}, for rung ${at}`);
  return right;
}
