/**
 * What an edge job does at each stage boundary. The decision depends on the plan, on the exits held and on the work
 * that still fits, never on a clock: whoever calls says how much time is left.
 */
import type { Application } from "../protocol/application.ts";
import type { ExitResult, Option, Plan } from "../protocol/plan.ts";
import { rungAt, wayMs, type From } from "./ladder.ts";

/** How far one job has come. */
export type EdgeProgress = {
  /** The edge option the job was opened for. */
  option: number;
  /** What the job started from; the cuts of `exits` are held as well. */
  from: From;
  /** Finished here, in the order they ran. */
  exits: readonly ExitResult[];
  /** Finished elsewhere before; they count as held, their tensors do not. */
  evidence: readonly ExitResult[];
  /**
   * Of the last `run` step: an option that was stepped down stays there. Time that comes free later is left to requests
   * that have not arrived yet; going deeper again was shown to cost more of them than it gains.
   */
  ceiling?: { option: number; target: number } | undefined;
};

type RunStep = { kind: "run"; option: number; rung: number; target: number; workMs: number };

/**
 * `run`: the stage of `rung` now, on the way to `target` for `option`; `workMs` is the profile work of that whole way.
 * `stop`: the plan is satisfied. `escalate`: go on with `option`, elsewhere. `late`: the plan wants more, and nothing
 * that it would accept fits in the time left.
 */
export type EdgeStep = RunStep | { kind: "stop" } | { kind: "escalate"; option: number } | { kind: "late" };

/** The first stage still to run for a rung, and the profile work of the whole way to its answer. */
type Way = { rung: number; workMs: number };

/**
 * The way to `target` from the nearest tensor held; null when no tensor on its way is held, one of the stages does not
 * run at the edge, or the rung has finished.
 */
function wayTo(application: Application, target: number, { exits, from }: EdgeProgress): Way | null {
  const held = (at: From): boolean => at === from || exits.some(({ exit }) => exit === at);
  let first = target;
  let start: From = target;
  while (!held(start)) {
    if (start === "input") return null;
    const { resumesFrom, tiers } = rungAt(application, start);
    if (!tiers.includes("edge")) return null;
    [first, start] = [start, resumesFrom];
  }
  return start === target ? null : { rung: first, workMs: wayMs(application, "edge", target, start) ?? 0 };
}

/**
 * The rungs that `option` accepts and that still give something, deepest first, each with what it takes. An option's
 * rung is a wish; its minRung is what the plan still accepts when time has become short.
 */
function* acceptable(
  application: Application,
  choice: number,
  option: Option,
  progress: EdgeProgress,
): Generator<RunStep> {
  const { ceiling } = progress;
  const deepest = ceiling?.option === choice ? Math.min(option.rung, ceiling.target) : option.rung;
  const least = Math.max(option.minRung, deepestHeld(progress) + 1);
  for (let target = deepest; target >= least; target--) {
    const way = wayTo(application, target, progress);
    if (way) yield { kind: "run", option: choice, target, ...way };
  }
}

function deepestHeld({ exits, evidence }: EdgeProgress): number {
  return [...exits, ...evidence].reduce((deepest, { exit }) => Math.max(deepest, exit), -1);
}

/** Where the last exit finished here sends the job: an option's index, or stop. A row the plan lacks means stop. */
function consult(plan: Plan, progress: EdgeProgress): "stop" | number {
  const last = progress.exits.at(-1);
  if (!last) return progress.option;
  return plan.next[last.exit]?.[last.bin] ?? "stop";
}

/**
 * The next step of an edge job with `fitsMs` of profile work left to it, `deeperFitsMs` of it for more than the least that is
 * wanted (control/patience); with an exit held everything is more. An option deeper than the next stage passes
 * through the exits between, and the plan is asked at each. An edge option that cannot be run from the tensors held
 * here (say, from the input after a start from a cut) is handed back as an escalation, for the caller to open anew.
 */
export function nextStep(
  application: Application,
  plan: Plan,
  progress: EdgeProgress,
  fitsMs: number,
  deeperFitsMs = fitsMs,
): EdgeStep {
  const choice = consult(plan, progress);
  const option = choice === "stop" ? undefined : plan.options[choice];
  if (choice === "stop" || !option) return { kind: "stop" };
  if (option.at.tier !== "edge") return { kind: "escalate", option: choice };
  if (option.rung <= deepestHeld(progress)) return { kind: "stop" };
  const startedHere = progress.exits.length > 0;
  if (startedHere && wayTo(application, option.rung, progress) === null) return { kind: "escalate", option: choice };
  // What it was let in for it need not ask for again.
  const limitMs = progress.ceiling?.option === choice ? fitsMs : Math.min(fitsMs, deeperFitsMs);
  let least: RunStep | null = null;
  for (const step of acceptable(application, choice, option, progress)) {
    if (step.workMs <= limitMs) return step;
    least = step;
  }
  return least && !startedHere && least.workMs <= fitsMs ? least : { kind: "late" };
}

/** Profile work of the least that the next step's option would accept; 0 where nothing is to be run. */
export function leastWorkMs(application: Application, plan: Plan, progress: EdgeProgress): number {
  const choice = consult(plan, progress);
  const option = choice === "stop" ? undefined : plan.options[choice];
  if (choice === "stop" || option?.at.tier !== "edge") return 0;
  const least = [...acceptable(application, choice, option, progress)].map(({ workMs }) => workMs);
  return least.length > 0 ? Math.min(...least) : 0;
}
