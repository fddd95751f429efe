/**
 * The decision table of one plan: for every exit of the home chain and every confidence, whether to stop or which option
 * to go on with. All deeper options are compared, not only the next: gains are not monotone in depth.
 */
import type { Application } from "../protocol/application.ts";
import type { Plan, Wishes } from "../protocol/plan.ts";
import { arithmeticCost, type Candidate } from "./candidates.ts";
import { exitEvidence, type ExitEvidence } from "./exit-evidence.ts";
import { ladderFigures, onWay } from "./ladder.ts";

/** What a plan chooses among: the options that fit, by their indices, and the same by where they run. */
export type Choice = {
  application: Application;
  wishes: Wishes;
  options: readonly Candidate[];
  home: readonly Candidate[];
  away: readonly Candidate[];
  budgetMs: number;
};

/** What one exit's row of the table is worth on average, before what getting to the exit costs. */
export type Row = { steps: Plan["next"][number]; value: number };

/** By bin: the best step so far, and what it is worth. */
type Best = { steps: Row["steps"]; values: number[] };

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
  return { steps: [...exitEvidence(application, exit).stops], value: Number.NEGATIVE_INFINITY };
}

/**
 * For one exit: per confidence bin, stop or the option with the best value among those still in time from here. `here` is
 * null for an exit held before the plan began: it has cost nothing of this plan's time, and its tensor is elsewhere.
 */
function rowOf(choice: Choice, exit: number, here: Candidate | null): Row {
  const { application, wishes, budgetMs } = choice;
  const ladder = ladderFigures(application);
  const evidence = exitEvidence(application, exit);
  const elapsedMs = here?.predictedMs ?? 0;
  const best: Best = { steps: [...evidence.stops], values: stopping(evidence, wishes) };
  for (const option of choice.options) {
    if (option.rung <= exit) continue;
    // A chain's time counts from its start; a home variant that starts over takes its own time after what has passed.
    const goesOn = here?.at === option.at && onWay(ladder.edgeMs, option.rung, exit) !== null;
    const resumes = option.from === "input" || (option.from === exit && here !== null);
    const endsMs = goesOn ? option.tailMs : elapsedMs + option.tailMs;
    if (!resumes || (!goesOn && endsMs > budgetMs)) continue;
    const charge = goesOn ? option.cost - here.cost + arithmeticCost(ladder, option.rung, exit) : option.charge;
    weigh(best, evidence, option, charge, inTime(endsMs, budgetMs));
  }
  return { steps: best.steps, value: average(evidence, best) };
}

/** Takes the option wherever it is worth more than the best so far: `charge` is what it costs, `chance` that it is in time. */
function weigh(best: Best, { stay, gains }: ExitEvidence, option: Candidate, charge: number, chance: number): void {
  const { steps, values } = best;
  const gain = gains[option.rung] as readonly number[];
  for (let bin = 0; bin < gain.length; bin++) {
    // What comes too late leaves the answer held.
    const worth = (stay[bin] as number) + chance * (gain[bin] as number) - charge;
    if (worth > (values[bin] as number)) {
      steps[bin] = option.index;
      values[bin] = worth;
    }
  }
}

/** What stopping is worth by bin: anything is better where the answer is less than the wishes ask for. */
function stopping({ stay, upTo }: ExitEvidence, { minConfidence, minAccuracy }: Wishes): number[] {
  if (minConfidence === undefined && minAccuracy === undefined) return [...stay];
  return stay.map((right, bin) => {
    const short =
      (minConfidence !== undefined && (upTo[bin] as number) <= minConfidence) ||
      (minAccuracy !== undefined && right < minAccuracy);
    return short ? Number.NEGATIVE_INFINITY : right;
  });
}

/** Of what the steps are worth, by how often each confidence occurs. An answer that falls short is still worth what it is. */
function average({ counts, total, stay }: ExitEvidence, { steps, values }: Best): number {
  if (total <= 0) return 0;
  let sum = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    sum += (counts[bin] as number) * ((steps[bin] === "stop" ? stay : values)[bin] as number);
  }
  return sum / total;
}
