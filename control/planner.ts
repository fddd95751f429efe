/**
 * One request's contingent plan: among the options that finish in time, what is worth most given what each finished exit
 * says. Pure: everything it knows is in its argument, nothing is stored, no clock is read.
 *
 * Value = P(right) − price · machine time − ε · arithmetic. The chain of exits runs at `home` (the edge, or a device that
 * plans for itself); at every exit and confidence the table says whether to stop, to go on at home, or to go to another
 * machine. A first step is worth what it leads to, weighted by how often each confidence occurs (docs/control.md).
 */
import type { Application } from "../protocol/application.ts";
import { MAX_OPTIONS, type ExitResult, type Option, type Plan, type PlanReply, type Wishes } from "../protocol/plan.ts";
import { allowedRungs, fromCuts, fromInput, type Candidate } from "./candidates.ts";
import { describe, weighed } from "./explanation.ts";
import { averageRight, mostMflops, rungAt, wayMs } from "./ladder.ts";
import type { Machine } from "./machine.ts";
import { pruned, sameMachine } from "./replan.ts";

export type PlanInput = {
  application: Application;
  planId: string;
  /** Time left for everything, the reply's journey included. */
  remainingMs: number;
  wishes: Wishes;
  /** Where the exits run one after another. */
  home: Machine;
  /** Machines worth asking besides, best first; the planner takes the first MAX_AWAY. */
  away: readonly Machine[];
  evidence: readonly ExitResult[];
  weight: number;
  /** May a second node be asked beside the first where time is short? */
  hedging?: boolean;
  explain?: boolean;
};

/** Two choices are nearly as good as all of them (Mitzenmacher 2001), and keep the plan small. */
export const MAX_AWAY = 2;
/**
 * What a full run of the ladder must gain over doing nothing more, in accuracy. Without it a price of zero sends to a node
 * what the edge does equally well, up to .4 points of accuracy under light load (CONTROL §5).
 */
const TIE_BREAK = 1e-3;
/** What going straight to another machine risks compared with holding an exit first: a refusal or loss after which less time is left. */
const AWAY_RISK = 0.003;
/**
 * What being planned to the last millisecond risks: nothing while the upper estimate leaves half of the time, this much
 * where it leaves none. Estimates of queues are as old as the last reply, and a stage under way cannot be interrupted.
 */
const TIGHT_RISK = 0.15;
/** Kept back for the reply: a share of the deadline between these bounds. */
const MARGIN = { share: 0.05, minMs: 1, maxMs: 50 };
/** A second node is asked where less than this share of the time would be left after the first one's upper estimate. */
const HEDGE_HEADROOM = 0.25;

/** What one exit's row of the table is worth on average, before what getting to the exit costs. */
type Row = { steps: ("stop" | number)[]; value: number };

export function makePlan(input: PlanInput): PlanReply {
  const { application, wishes, home: homeMachine, evidence } = input;
  const marginMs = Math.min(MARGIN.maxMs, Math.max(MARGIN.minMs, MARGIN.share * input.remainingMs));
  const budgetMs = input.remainingMs - marginMs;
  const all = everyOption(input);
  const fitting = inTimeOrHoped(all, budgetMs)
    .slice(0, MAX_OPTIONS)
    .map((option, index) => ({ ...option, index }));
  const refusal = refuse(input, all, fitting, budgetMs);
  if (refusal) return refusal;

  const isHome = (option: Option) => option.at.tier === homeMachine.at.tier;
  const home = fitting.filter(isHome);
  const away = fitting.filter((option) => !isHome(option));
  const held = evidence.at(-1);
  const arithmetic = TIE_BREAK / mostMflops(application);
  const rows = application.rungs.map((_, exit): Row => {
    const here = held?.exit === exit ? null : home.find((option) => option.rung === exit);
    return here === undefined ? noRow(application, exit) : rowOf(input, exit, here, home, away, budgetMs, arithmetic);
  });
  const first = held
    ? (rows[held.exit]?.steps[held.bin] ?? "stop")
    : chooseFirst(application, wishes, home, away, rows, budgetMs, arithmetic);
  const firstIndex = first === "stop" ? -1 : first;
  const hedge = input.hedging ? hedges(fitting, budgetMs) : null;
  const plan: Plan = {
    planId: input.planId,
    options: fitting.map(optionOf),
    first: firstIndex,
    next: rows.map((row) => row.steps),
    otherwise: fitting.map((option) => fallback(application, option, home, away)),
    marginMs,
    edgeSlowdown: homeMachine.at.tier === "edge" ? homeMachine.slowdown : 1,
    weight: input.weight,
    reason: describe(
      application,
      fitting,
      firstIndex,
      rows.map((row) => row.steps),
    ),
    ...(hedge ? { hedge } : {}),
  };
  // The home chain's options stay, being what its exits are predicted by; another machine's only where the table leads there.
  const kept = pruned(plan, isHome);
  return { ok: true, plan: input.explain ? { ...kept, explanation: weighed(application, all, budgetMs, kept) } : kept };
}

function everyOption(input: PlanInput): Candidate[] {
  const { application, wishes } = input;
  const allowed = allowedRungs(application, wishes);
  const home = fromInput(application, input.home, allowed);
  if (wishes.tier === "edge") return home;
  const whole: Candidate[] = [];
  const resumed: Candidate[] = [];
  for (const machine of input.away.slice(0, MAX_AWAY)) {
    // Deepest first: the deepest is what another machine is for.
    const options = fromInput(application, machine, allowed).reverse();
    whole.push(...options);
    resumed.push(...fromCuts(application, machine, options, home));
  }
  return [...home, ...whole, ...resumed];
}

/**
 * Options whose upper estimate fits. Where there is none, of each machine the quickest if it is expected in time: the machine
 * tests again when it is asked and refuses at no cost, and who is not asked gives no answer either.
 */
function inTimeOrHoped(all: readonly Candidate[], budgetMs: number): Candidate[] {
  const sure = all.filter((option) => option.tailMs <= budgetMs);
  if (sure.length > 0) return sure;
  return all.filter(
    (option) =>
      option.predictedMs <= budgetMs &&
      option.from === "input" &&
      !all.some(
        (other) => other.from === "input" && sameMachine(other, option) && other.predictedMs < option.predictedMs,
      ),
  );
}

/** Null when some option fits and the conditions of a strict request can be met; else why not. */
function refuse(input: PlanInput, all: Candidate[], fitting: Candidate[], budgetMs: number): PlanReply | null {
  const { application, wishes } = input;
  const floor = wishes.deadlinePolicy === "strict" ? (wishes.minAccuracy ?? 0) : 0;
  const good = (option: Candidate) => rungAt(application, option.rung).quality.validation >= floor;
  if (fitting.some(good)) return null;
  const able = all.filter(good);
  if (able.length === 0) {
    return all.length === 0
      ? { ok: false, code: "overloaded", detail: "no machine that serves this application as asked is connected" }
      : { ok: false, code: "deadline_unmeetable", detail: `no rung at hand reaches an accuracy of ${floor}` };
  }
  const least = Math.min(...able.map((option) => option.predictedMs));
  const idle = Math.min(...able.map((option) => option.idleMs));
  const left = `${round(Math.max(0, budgetMs))} ms are left`;
  if (idle > budgetMs) {
    const detail = `the fastest answer needs ${round(idle)} ms, ${left}`;
    return { ok: false, code: "deadline_unmeetable", detail, predictedMs: idle };
  }
  const detail = `the machines are busy: the fastest answer needs ${round(least)} ms, ${left}`;
  return { ok: false, code: "overloaded", detail, predictedMs: least };
}

/** An exit that nothing in this plan reaches. */
function noRow(application: Application, exit: number): Row {
  return { steps: rungAt(application, exit).evidence.map(() => "stop" as const), value: Number.NEGATIVE_INFINITY };
}

/**
 * For one exit: per confidence bin, stop or the option with the best value among those still in time from here. All
 * deeper options are compared, not only the next: gains are not monotone in depth. `here` is null for an exit held before
 * the plan began: it has cost nothing of this plan's time, and its tensor is elsewhere.
 */
function rowOf(
  input: PlanInput,
  exit: number,
  here: Candidate | null,
  home: readonly Candidate[],
  away: readonly Candidate[],
  budgetMs: number,
  arithmetic: number,
): Row {
  const { application, wishes } = input;
  const { evidence, mflops } = rungAt(application, exit);
  const elapsedMs = here?.predictedMs ?? 0;
  const reachable: { option: Candidate; charge: number; inTime: number }[] = [];
  for (const option of home) {
    if (option.rung <= exit) continue;
    const goesOn = here !== null && wayMs(application, "edge", option.rung, exit) !== null;
    // A home variant that starts over takes its own time after what has passed; a chain's time counts from its start.
    if (!goesOn && elapsedMs + option.tailMs > budgetMs) continue;
    const own = rungAt(application, option.rung).mflops.cumulative;
    const charge = goesOn
      ? option.cost - here.cost + arithmetic * (own - mflops.cumulative)
      : option.cost + arithmetic * own;
    reachable.push({ option, charge, inTime: inTime(goesOn ? option.tailMs : elapsedMs + option.tailMs, budgetMs) });
  }
  for (const option of away) {
    if (option.rung <= exit || elapsedMs + option.tailMs > budgetMs) continue;
    if (option.from !== "input" && (option.from !== exit || here === null)) continue;
    const done = option.from === "input" ? 0 : mflops.cumulative;
    const charge = option.cost + arithmetic * (rungAt(application, option.rung).mflops.cumulative - done);
    reachable.push({ option, charge, inTime: inTime(elapsedMs + option.tailMs, budgetMs) });
  }
  let total = 0;
  let value = 0;
  const steps = evidence.map((row) => {
    const stay = row.right[exit] ?? 0;
    const short =
      (wishes.minConfidence !== undefined && row.to <= wishes.minConfidence) ||
      (wishes.minAccuracy !== undefined && stay < wishes.minAccuracy);
    let best: number | "stop" = "stop";
    let bestValue = short ? Number.NEGATIVE_INFINITY : stay;
    for (const { option, charge, inTime: chance } of reachable) {
      // What comes too late leaves the answer held.
      const worth = stay + chance * ((row.right[option.rung] ?? 0) - stay) - charge;
      if (worth > bestValue) [best, bestValue] = [option.index, worth];
    }
    total += row.count;
    value += row.count * (best === "stop" ? stay : bestValue);
    return best;
  });
  return { steps, value: total > 0 ? value / total : 0 };
}

/** Before any evidence: the first step that leads to most, at home by its row of the table, elsewhere by its average. */
function chooseFirst(
  application: Application,
  wishes: Wishes,
  home: readonly Candidate[],
  away: readonly Candidate[],
  rows: readonly Row[],
  budgetMs: number,
  arithmetic: number,
): number | "stop" {
  const wantsNode = wishes.tier === "node" && away.some((option) => option.at.tier === "node");
  let best: Candidate | null = null;
  let bestWorth = Number.NEGATIVE_INFINITY;
  const consider = (option: Candidate, worth: number) => {
    if (worth > bestWorth) [best, bestWorth] = [option, worth];
  };
  const effort = (option: Candidate) => option.cost + arithmetic * rungAt(application, option.rung).mflops.cumulative;
  for (const option of wantsNode ? [] : home) {
    // A rung further down a chain passes the exits before it, so the chain's beginning decides for it.
    const begins =
      rungAt(application, option.rung).resumesFrom === "input" || !home.some(({ rung }) => rung < option.rung);
    if (begins) consider(option, inTime(option.tailMs, budgetMs) * (rows[option.rung]?.value ?? 0) - effort(option));
  }
  for (const option of away) {
    if (option.from !== "input") continue;
    const chance = (1 - AWAY_RISK) * inTime(option.tailMs, budgetMs);
    consider(option, chance * averageRight(application, option.rung) - effort(option));
  }
  const chosen = best as Candidate | null;
  return chosen ? chosen.index : "stop";
}

/** The chance that what is planned to end by `tailMs` ends within the budget. */
function inTime(tailMs: number, budgetMs: number): number {
  return Math.max(0, 1 - TIGHT_RISK * Math.max(0, 2 * (tailMs / budgetMs) - 1));
}

/**
 * After a refusal or loss: from another machine to a third one, else to the deepest home rung in the plan; from home to the
 * deepest option elsewhere. Whoever follows it looks at the time left again.
 */
function fallback(
  application: Application,
  failed: Candidate,
  home: readonly Candidate[],
  away: readonly Candidate[],
): number {
  const deepest = (options: readonly Candidate[]): Candidate | undefined => {
    let best: Candidate | undefined;
    for (const option of options) {
      if (option.from !== "input" || sameMachine(option, failed)) continue;
      if (!best || quality(application, option) > quality(application, best)) best = option;
    }
    return best;
  };
  return (deepest(away) ?? deepest(home))?.index ?? -1;
}

/** Per option of a node, the same rung at another node where the first one's upper estimate leaves little time. */
function hedges(options: readonly Candidate[], budgetMs: number): number[] {
  return options.map((option) => {
    if (option.at.tier !== "node" || budgetMs - option.tailMs >= HEDGE_HEADROOM * budgetMs) return -1;
    return options.findIndex(
      (other) =>
        other.at.tier === "node" &&
        other.rung === option.rung &&
        other.from === option.from &&
        !sameMachine(other, option),
    );
  });
}

function quality(application: Application, option: Option): number {
  return rungAt(application, option.rung).quality.validation;
}

function optionOf({ rung, minRung, at, from, predictedMs, workMs }: Candidate): Option {
  return { rung, minRung, at, from, predictedMs: micro(predictedMs), workMs: micro(workMs) };
}

/** Whole microseconds: what travels need not carry the rest. */
function micro(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
