/**
 * The decision table of one plan: for every exit of the home chain and every confidence, whether to stop or which option
 * to go on with. All deeper options are compared, not only the next: gains are not monotone in depth.
 */
import type { Application } from "../protocol/application.ts";
import type { Plan, Wishes } from "../protocol/plan.ts";
import { type Candidate, arithmeticCost } from "./candidates.ts";
import { exitEvidence, type ExitEvidence } from "./exit-evidence.ts";
import { wayMs } from "./ladder.ts";

/** What a plan chooses among: options that fit, by where they run, in the order of their indices. */
export type Choice = {
  application: Application;
  wishes: Wishes;
  home: readonly Candidate[];
  away: readonly Candidate[];
  budgetMs: number;
};

/** What one exit's row of the table is worth on average, before what getting to the exit costs. */
export type Row = { steps: Plan["next"][number]; value: number };

/**
 * What being planned to the last millisecond risks: nothing while the upper estimate leaves half of the time, this much
 * where it leaves none. Estimates of queues are as old as the last reply, and a stage under way cannot be interrupted.
 */
const TIGHT_RISK = 0.15;

/** The chance that what is planned to end by `tailMs` ends within the budget. */
export function inTime(tailMs: number, budgetMs: number): number {
  return Math.max(0, 1 - TIGHT_RISK * Math.max(0, 2 * (tailMs / budgetMs) - 1));
}

/** One row per rung. `held`: an exit that was finished before the plan began. */
export function decisionTable(choice: Choice, held: number | undefined): Row[] {
  const homeAt: Candidate[] = [];
  for (const option of choice.home) homeAt[option.rung] = option;
  return choice.application.rungs.map((_, exit) => {
    const here = held === exit ? null : homeAt[exit];
    return here === undefined ? unreached(choice, exit) : rowOf(choice, exit, here);
  });
}

/** An exit that nothing in this plan reaches. */
function unreached({ application }: Choice, exit: number): Row {
  return { steps: exitEvidence(application, exit).counts.map(() => "stop"), value: Number.NEGATIVE_INFINITY };
}

/**
 * For one exit: per confidence bin, stop or the option with the best value among those still in time from here. `here` is
 * null for an exit held before the plan began: it has cost nothing of this plan's time, and its tensor is elsewhere.
 */
function rowOf({ application, wishes, home, away, budgetMs }: Choice, exit: number, here: Candidate | null): Row {
  const evidence = exitEvidence(application, exit);
  const elapsedMs = here?.predictedMs ?? 0;
  const steps: Row["steps"] = evidence.counts.map(() => "stop");
  const values = evidence.stay.map((stay, bin) =>
    fallsShort(evidence, bin, wishes) ? Number.NEGATIVE_INFINITY : stay,
  );
  const weigh = ({ index, rung }: Candidate, charge: number, endsMs: number): void => {
    const chance = inTime(endsMs, budgetMs);
    const gains = evidence.gains[rung] as readonly number[];
    for (let bin = 0; bin < gains.length; bin++) {
      // What comes too late leaves the answer held.
      const worth = (evidence.stay[bin] as number) + chance * (gains[bin] as number) - charge;
      if (worth > (values[bin] as number)) {
        steps[bin] = index;
        values[bin] = worth;
      }
    }
  };
  for (const option of home) {
    if (option.rung <= exit) continue;
    const { tailMs } = option;
    // A chain's time counts from its start; a home variant that starts over takes its own time after what has passed.
    if (here !== null && wayMs(application, "edge", option.rung, exit) !== null) {
      weigh(option, option.cost - here.cost + arithmeticCost(application, option.rung, exit), tailMs);
    } else if (elapsedMs + tailMs <= budgetMs) weigh(option, option.charge, elapsedMs + tailMs);
  }
  for (const option of away) {
    const resumable = option.from === "input" || (option.from === exit && here !== null);
    const endsMs = elapsedMs + option.tailMs;
    if (option.rung > exit && resumable && endsMs <= budgetMs) weigh(option, option.charge, endsMs);
  }
  return { steps, value: average(evidence, steps, values) };
}

/** Is an answer with a confidence in this bin less than the wishes ask for? */
function fallsShort({ upTo, stay }: ExitEvidence, bin: number, { minConfidence, minAccuracy }: Wishes): boolean {
  return (
    (minConfidence !== undefined && (upTo[bin] as number) <= minConfidence) ||
    (minAccuracy !== undefined && (stay[bin] as number) < minAccuracy)
  );
}

/** Of what the steps are worth, by how often each confidence occurs. */
function average({ counts, total, stay }: ExitEvidence, steps: Row["steps"], values: readonly number[]): number {
  if (total <= 0) return 0;
  const sum = counts.reduce(
    (all, count, bin) => all + count * ((steps[bin] === "stop" ? stay[bin] : values[bin]) as number),
    0,
  );
  return sum / total;
}
