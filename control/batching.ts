/**
 * Which waiting jobs run together with the one whose turn it is. Work-conserving: only what waits already is taken,
 * nothing is waited for. A job joins where the whole run still ends, at its upper end, by the earliest deadline in it,
 * and where nobody it overtakes becomes late by it; whoever waits behind it only gains.
 */
import type { StageWork } from "./node-work.ts";
import type { QueuedWork } from "./run-queue.ts";

/** Most jobs in one run: beyond this a run's own time, not its overhead, is what takes long. */
export const MOST_IN_BATCH = 16;
/** A further job must cost at most this share of a run alone: for less gain the first would only wait for the last. */
const WORTH = 0.8;

/** Does running several jobs at once pay, by profile? */
export function batchPays(stages: readonly StageWork[]): boolean {
  const sum = (of: (stage: StageWork) => number) => stages.reduce((total, stage) => total + of(stage), 0);
  return sum(({ marginalMs }) => marginalMs) <= WORTH * sum(({ medianMs }) => medianMs);
}

/**
 * Jobs of `waiting` (earliest deadline first) to run together with one due at `deadlineAt`, the earliest of all.
 * `joins`: would run the same stages. `upperMs(n)`: time of a run of n, at its upper end.
 */
export function companions<W extends QueuedWork>(
  deadlineAt: number,
  waiting: readonly W[],
  now: number,
  joins: (work: W) => boolean,
  upperMs: (batch: number) => number,
): W[] {
  const taken: W[] = [];
  let overtakenMs = 0;
  let slackMs = deadlineAt - now;
  for (const work of waiting) {
    if (taken.length + 1 === MOST_IN_BATCH) break;
    if (!joins(work)) {
      overtakenMs += work.workMs;
      const leftMs = work.deadlineAt - now - overtakenMs;
      // Who is late as things stand loses nothing.
      if (leftMs >= upperMs(taken.length + 1)) slackMs = Math.min(slackMs, leftMs);
    } else if (upperMs(taken.length + 2) <= slackMs) taken.push(work);
    else break;
  }
  return taken;
}
