/**
 * One request's contingent plan: among the options that finish in time, what is worth most given what each finished exit
 * says. Pure: everything it knows is in its argument, nothing is stored, no clock is read.
 *
 * Value = P(right) − price · machine time − ε · arithmetic. The chain of exits runs at `home` (the edge, or a device that
 * plans for itself); at every exit and confidence the table says whether to stop, to go on at home, or to go to another
 * machine. A first step is worth what it leads to, weighted by how often each confidence occurs (docs/control.md).
 */
import type { Application } from "../protocol/application.ts";
import {
  MAX_OPTIONS,
  type ExitResult,
  type Option,
  type Place,
  type Plan,
  type PlanReply,
  type Wishes,
} from "../protocol/plan.ts";
import { allowedDepth, fromCuts, fromInput, type Candidate } from "./candidates.ts";
import { decisionTable, inTime, type Choice, type Row } from "./decision-table.ts";
import { describe, weighed } from "./explanation.ts";
import { averageRight, rungAt } from "./ladder.ts";
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
/** What going straight to another machine risks compared with holding an exit first: a refusal or loss after which less time is left. */
const AWAY_RISK = 0.003;
/** Kept back for the reply: a share of the deadline between these bounds. */
const MARGIN = { share: 0.05, minMs: 1, maxMs: 50 };
/** A second node is asked where less than this share of the time would be left after the first one's upper estimate. */
const HEDGE_HEADROOM = 0.25;

export function makePlan(input: PlanInput): PlanReply {
  const { application, wishes, home: homeMachine, evidence } = input;
  const marginMs = Math.min(MARGIN.maxMs, Math.max(MARGIN.minMs, MARGIN.share * input.remainingMs));
  const budgetMs = input.remainingMs - marginMs;
  const all = everyOption(input);
  const fitting = inTimeOrHoped(all, budgetMs).slice(0, MAX_OPTIONS);
  const refusal = refuse(input, all, fitting, budgetMs);
  if (refusal) return refusal;

  const isHome = (option: Option) => option.at.tier === homeMachine.at.tier;
  const home: Candidate[] = [];
  const away: Candidate[] = [];
  for (const [index, option] of fitting.entries()) {
    option.index = index;
    (isHome(option) ? home : away).push(option);
  }
  const choice: Choice = { application, wishes, options: fitting, home, away, budgetMs };
  const held = evidence.at(-1);
  const rows = decisionTable(choice, held?.exit);
  const next = rows.map(({ steps }) => steps);
  const first = held ? (next[held.exit]?.[held.bin] ?? "stop") : chooseFirst(choice, rows);
  const firstIndex = first === "stop" ? -1 : first;
  const hedge = input.hedging ? hedges(fitting, budgetMs) : null;
  const otherwise = fallbacks(choice);
  const reason = describe(application, fitting, firstIndex, next);
  // The home chain's options stay, being what its exits are predicted by; another machine's only where the table leads there.
  const kept = pruned({ options: fitting, first: firstIndex, next, otherwise, ...(hedge ? { hedge } : {}) }, isHome);
  const plan: Plan = {
    planId: input.planId,
    options: kept.options.map(optionOf),
    first: kept.first,
    next: kept.next,
    otherwise: kept.otherwise,
    marginMs,
    edgeSlowdown: homeMachine.at.tier === "edge" ? homeMachine.slowdown : 1,
    weight: input.weight,
    reason,
  };
  if (kept.hedge) plan.hedge = kept.hedge;
  if (input.explain) plan.explanation = weighed(application, all, budgetMs, plan);
  return { ok: true, plan };
}

function everyOption(input: PlanInput): Candidate[] {
  const { application, wishes } = input;
  const depth = allowedDepth(application, wishes);
  const home = fromInput(application, input.home, depth);
  if (wishes.tier === "edge") return home;
  const whole: Candidate[] = [];
  const resumed: Candidate[] = [];
  for (const machine of input.away.slice(0, MAX_AWAY)) {
    // Deepest first: the deepest is what another machine is for.
    const options = fromInput(application, machine, depth).reverse();
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

/** Before any evidence: the first step that leads to most, at home by its row of the table, elsewhere by its average. */
function chooseFirst({ application, wishes, home, away, budgetMs }: Choice, rows: readonly Row[]): number | "stop" {
  const wantsNode = wishes.tier === "node" && away.some((option) => option.at.tier === "node");
  let best: number | "stop" = "stop";
  let bestWorth = Number.NEGATIVE_INFINITY;
  const consider = ({ index, charge }: Candidate, chance: number, right: number) => {
    const worth = chance * right - charge;
    if (worth > bestWorth) {
      best = index;
      bestWorth = worth;
    }
  };
  for (const option of wantsNode ? [] : home) {
    // A rung further down a chain passes the exits before it, so the chain's beginning decides for it.
    const begins = rungAt(application, option.rung).resumesFrom === "input" || option === home[0];
    if (begins) consider(option, inTime(option.tailMs, budgetMs), rows[option.rung]?.value ?? 0);
  }
  for (const option of away) {
    if (option.from !== "input") continue;
    const chance = (1 - AWAY_RISK) * inTime(option.tailMs, budgetMs);
    consider(option, chance, averageRight(application, option.rung));
  }
  return best;
}

/**
 * Per option, where to go after a refusal or loss: from another machine to a third one, else to the deepest home rung in
 * the plan; from home to the deepest option elsewhere. Whoever follows it looks at the time left again.
 */
function fallbacks({ application, options, home, away }: Choice): number[] {
  const deepest = (among: readonly Candidate[], failed: Place): Candidate | undefined => {
    let best: Candidate | undefined;
    for (const option of among) {
      if (option.from !== "input" || option.at === failed) continue;
      if (!best || quality(application, option) > quality(application, best)) best = option;
    }
    return best;
  };
  const instead = new Map<Place, number>();
  for (const { at } of options) {
    if (!instead.has(at)) instead.set(at, (deepest(away, at) ?? deepest(home, at))?.index ?? -1);
  }
  return options.map(({ at }) => instead.get(at) ?? -1);
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

/** What travels of an option. */
function optionOf({ rung, minRung, at, from, predictedMs, workMs }: Option): Option {
  return { rung, minRung, at, from, predictedMs: micro(predictedMs), workMs: micro(workMs) };
}

/** Whole microseconds: what travels need not carry the rest. */
function micro(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
