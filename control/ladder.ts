/** Questions about a ladder: what a rung runs, what that costs, what a confidence means. */
import type { Application, EvidenceRow, Rung } from "../protocol/application.ts";
import { oncePer } from "./once.ts";
import { travelCode } from "./travel-code.ts";

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

/** By rung, then by start: 0 is the input, n + 1 the cut of rung n. Null where the start does not lie on the way to the rung. */
export type ByWay = readonly (readonly (number | null)[])[];

/** What planning asks of a ladder again and again. */
export type LadderFigures = {
  /** Reference milliseconds of the stages on the way. */
  edgeMs: ByWay;
  nodeMs: ByWay;
  /** Arithmetic on the way, earlier heads included; and of a full run of the deepest rung. */
  mflops: ByWay;
  mostMflops: number;
  /** P(right) over all inputs by rung, by the same samples as the evidence of the first exit: comparable with its rows. */
  averageRight: readonly number[];
  /** Bytes on the wire of the cut that a rung leaves, in the code it travels in; null where it leaves none. */
  cutBytes: readonly (number | null)[];
};

/** The figures of an application, worked out when they are first asked for. */
export const ladderFigures = oncePer((application: Application): LadderFigures => {
  const { rungs } = application;
  const starts: From[] = ["input", ...rungs.keys()];
  const byWay = (figure: (way: number[], rung: number, from: From) => number): ByWay =>
    rungs.map((_, rung) =>
      starts.map((from) => {
        const way = chain(application, rung, from);
        return way && figure(way, rung, from);
      }),
    );
  const cumulative = (from: From): number => (from === "input" ? 0 : rungAt(application, from).mflops.cumulative);
  return {
    edgeMs: byWay((way) => chainReferenceMs(application, way, "edge")),
    nodeMs: byWay((way) => chainReferenceMs(application, way, "node")),
    mflops: byWay((_, rung, from) => cumulative(rung) - cumulative(from)),
    mostMflops: Math.max(...rungs.map(({ mflops }) => mflops.cumulative)),
    averageRight: rungs.map((_, rung) => averageOf(rungAt(application, 0).evidence, rung)),
    cutBytes: rungs.map(({ cut }) => (cut ? cut.bytes[travelCode(cut)] : null)),
  };
});

/** The figure of one way. */
export function onWay(figures: ByWay, rung: number, from: From): number | null {
  return figures[rung]?.[from === "input" ? 0 : from + 1] ?? null;
}

/** Reference milliseconds from a start to the answer of `rung`; null where it does not lie on the way. */
export function wayMs(application: Application, where: "edge" | "node", rung: number, from: From): number | null {
  const { edgeMs, nodeMs } = ladderFigures(application);
  return onWay(where === "edge" ? edgeMs : nodeMs, rung, from);
}

/** P(right at rung `at`) over all inputs, by the same samples as the evidence of the first exit: comparable with its rows. */
export function averageRight(application: Application, at: number): number {
  return ladderFigures(application).averageRight[at] ?? 0;
}

function averageOf(evidence: readonly EvidenceRow[], at: number): number {
  let total = 0;
  let right = 0;
  for (const row of evidence) {
    total += row.count;
    right += row.count * (row.right[at] ?? 0);
  }
  return total > 0 ? right / total : 0;
}

/** Index of the evidence row a confidence falls in: the row with from < confidence ≤ to, the first one below all. */
export function binOf(rows: readonly EvidenceRow[], confidence: number): number {
  for (let bin = rows.length - 1; bin > 0; bin--) {
    if (confidence > (rows[bin] as EvidenceRow).from) return bin;
  }
  return 0;
}

/** Samples a bin must hold for what it promises to count. */
const ENOUGH_SAMPLES = 20;

/** The most that any confidence at the rung before promises to gain by going on to `rung`; the rung's accuracy for the first. */
export function largestGain(application: Application, rung: number): number {
  if (rung === 0) return rungAt(application, 0).quality.validation;
  return rungAt(application, rung - 1).evidence.reduce((most, { count, right }) => {
    return count < ENOUGH_SAMPLES ? most : Math.max(most, (right[rung] ?? 0) - (right[rung - 1] ?? 0));
  }, 0);
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
