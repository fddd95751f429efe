/**
 * An exit's evidence laid out as a plan reads it, once per application object: a column of bins for each rung, so that an
 * option is weighed at every confidence in one pass.
 */
import type { Application } from "../protocol/application.ts";
import { rungAt } from "./ladder.ts";
import { oncePer } from "./once.ts";

export type ExitEvidence = {
  /** Samples by bin, and of all bins. */
  counts: readonly number[];
  total: number;
  /** P(right at the exit itself) by bin. */
  stay: readonly number[];
  /** By rung and bin: what P(right) gains by going on to that rung; below 0 where it loses. */
  gains: readonly (readonly number[])[];
  /** A row of the decision table that stops at every confidence. */
  stops: readonly "stop"[];
  /** Upper end of each bin's confidence. */
  upTo: readonly number[];
};

const laidOutExits = oncePer((application: Application) =>
  application.rungs.map((_, exit) => laidOut(application, exit)),
);

/** The evidence of one exit. Throws RangeError on an exit that the ladder does not have. */
export function exitEvidence(application: Application, exit: number): ExitEvidence {
  return laidOutExits(application)[exit] ?? laidOut(application, exit);
}

function laidOut(application: Application, exit: number): ExitEvidence {
  const rows = rungAt(application, exit).evidence;
  const stay = rows.map(({ right }) => right[exit] ?? 0);
  return {
    counts: rows.map(({ count }) => count),
    total: rows.reduce((sum, { count }) => sum + count, 0),
    stay,
    stops: rows.map(() => "stop"),
    gains: application.rungs.map((_, rung) => rows.map(({ right }, bin) => (right[rung] ?? 0) - (stay[bin] as number))),
    upTo: rows.map(({ to }) => to),
  };
}
