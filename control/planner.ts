/**
 * One request's contingent plan: among the options predicted to finish in time, the most accurate one, given what
 * each finished exit says. Pure: everything it knows is in its argument, nothing is stored, no clock is read.
 *
 * The order of a plan is always the same: a cheap exit at the edge first, as evidence and as the answer to fall back
 * on; then, per confidence bin, whatever has the best value. Value = P(right) − price · work − ε · arithmetic. The ε
 * keeps a node from being used for what the edge does equally well: restarting elsewhere repeats arithmetic.
 */
import type { Application } from "../protocol/application.ts";
import type { NodeEntry, RungProfile } from "../protocol/fleet.ts";
import { MAX_OPTIONS, type ExitResult, type Option, type Plan, type PlanReply, type Wishes } from "../protocol/plan.ts";
import { chain, chainReferenceMs, rightGiven, rungAt } from "./ladder.ts";
import { pruned, sameMachine } from "./replan.ts";

export type PlanInput = {
  application: Application;
  planId: string;
  /** Time left for everything, the reply's journey included. */
  remainingMs: number;
  wishes: Wishes;
  edge: { slowdown: number; overheadMs: number; aheadMs: number; price: number };
  /** Nodes worth asking, best first; the planner takes the first MAX_NODES. */
  nodes: { entry: NodeEntry; linkMs: number; aheadMs: number }[];
  evidence: readonly ExitResult[];
};

/** Two choices are nearly as good as all of them (Mitzenmacher 2001), and keep the plan small. */
export const MAX_NODES = 2;
/** What a full run of the ladder must gain over doing nothing more, in accuracy. */
const TIE_BREAK = 1e-3;
/** A first exit costing more than this share of the time left is not run just for its evidence. */
const FIRST_EXIT_SHARE = 0.25;
/** Kept back for the reply: a share of the deadline between these bounds. */
const MARGIN = { share: 0.05, minMs: 1, maxMs: 50 };
/** A node's service time is taken at this multiple of its median: a tail, until more is known. */
const NODE_TAIL = 1.3;

type Candidate = Option & { index: number; price: number; idleMs: number };

export function makePlan(input: PlanInput): PlanReply {
  const { application, wishes } = input;
  const marginMs = Math.min(MARGIN.maxMs, Math.max(MARGIN.minMs, MARGIN.share * input.remainingMs));
  const budgetMs = input.remainingMs - marginMs;
  const allowed = application.rungs.map((_, rung) => rung < (wishes.maxExit ?? application.rungs.length));
  const all = [...edgeOptions(input, allowed), ...nodeOptions(input, allowed)];
  const options = all
    .filter((option) => option.predictedMs <= budgetMs)
    .slice(0, MAX_OPTIONS)
    .map((option, index) => ({ ...option, index }));
  const refusal = refuse(input, all, options, budgetMs);
  if (refusal) return refusal;

  const value = valueFunction(application);
  const edge = options.filter((option) => option.at.tier === "edge");
  const nodes = options.filter((option) => option.at.tier === "node");
  const held = input.evidence.at(-1);
  const next = application.rungs.map((_, exit) => {
    const here = held?.exit === exit ? HELD : edge.find((option) => option.rung === exit);
    return here
      ? rowOfTable(input, exit, here, edge, nodes, budgetMs, value)
      : rungAt(application, exit).evidence.map(() => "stop" as const);
  });
  const first = held
    ? (next[held.exit]?.[held.bin] ?? "stop")
    : chooseFirst(application, wishes, edge, nodes, budgetMs, value).index;
  const plan: Plan = {
    planId: input.planId,
    options: options.map(({ rung, minRung, at, from, predictedMs, workMs }) => ({
      rung,
      minRung,
      at,
      from,
      predictedMs: micro(predictedMs),
      workMs: micro(workMs),
    })),
    first: first === "stop" ? -1 : first,
    next,
    otherwise: options.map((option) => fallback(application, option, edge, nodes)),
    marginMs,
    reason: describe(application, options[first === "stop" ? -1 : first], next, options),
  };
  // The edge's options stay, being what its exits are predicted by; a node's only where the table leads there.
  return { ok: true, plan: pruned(plan, (option) => option.at.tier !== "node") };
}

/** Every edge rung from the input, shallowest first. `idleMs` is what it would take with nothing queued. */
function edgeOptions(input: PlanInput, allowed: readonly boolean[]): Candidate[] {
  const { application, edge } = input;
  return application.rungs.flatMap((rung, index): Candidate[] => {
    const way = chain(application, index, "input");
    if (!allowed[index] || !rung.tiers.includes("edge") || !way) return [];
    const workMs = chainReferenceMs(application, way, "edge");
    const idleMs = edge.overheadMs + edge.slowdown * workMs;
    return [
      {
        rung: index,
        minRung: 0,
        at: { tier: "edge" },
        from: "input",
        predictedMs: idleMs + edge.slowdown * edge.aheadMs,
        workMs,
        index: -1,
        price: edge.price,
        idleMs,
      },
    ];
  });
}

/** The rungs each candidate node serves, from the input, deepest first: the deepest is what a node is for. */
function nodeOptions(input: PlanInput, allowed: readonly boolean[]): Candidate[] {
  const { application } = input;
  if (input.wishes.tier === "edge") return [];
  const shallowest = application.rungs.findIndex((rung, index) => allowed[index] && rung.tiers.includes("edge"));
  return input.nodes.slice(0, MAX_NODES).flatMap(({ entry, linkMs, aheadMs }) => {
    const served = entry.registration.applications[application.name];
    if (!served || served.version !== application.version) return [];
    return application.rungs
      .map((rung, index): Candidate | null => {
        const profile: RungProfile | undefined = served.rungs[String(index)];
        if (!allowed[index] || !profile || !rung.tiers.includes("node")) return null;
        const serviceMs = profile.medianMs * entry.load.slowdown;
        const idleMs = linkMs + NODE_TAIL * serviceMs;
        return {
          rung: index,
          minRung: Math.min(index, shallowest + 1),
          at: { tier: "node", node: entry.node },
          from: "input",
          predictedMs: idleMs + aheadMs,
          workMs: chainReferenceMs(application, chain(application, index, "input") ?? [], "node"),
          index: -1,
          price: entry.load.price,
          idleMs,
        };
      })
      .filter((option) => option !== null)
      .reverse();
  });
}

/** Null when some option fits and the conditions of a strict request can be met; else why not. */
function refuse(input: PlanInput, all: Candidate[], fitting: Candidate[], budgetMs: number): PlanReply | null {
  const { application, wishes } = input;
  const floor = wishes.deadlinePolicy === "strict" ? (wishes.minAccuracy ?? 0) : 0;
  if (fitting.some((option) => rungAt(application, option.rung).quality.validation >= floor)) return null;
  const good = all.filter((option) => rungAt(application, option.rung).quality.validation >= floor);
  if (good.length === 0) {
    return all.length === 0
      ? { ok: false, code: "overloaded", detail: "no machine that serves this application as asked is connected" }
      : { ok: false, code: "deadline_unmeetable", detail: `no rung at hand reaches an accuracy of ${floor}` };
  }
  const least = Math.min(...good.map((option) => option.predictedMs));
  const idle = Math.min(...good.map((option) => option.idleMs));
  const left = `${round(Math.max(0, budgetMs))} ms are left`;
  return idle <= budgetMs
    ? {
        ok: false,
        code: "overloaded",
        detail: `the machines are busy: the fastest answer needs ${round(least)} ms, ${left}`,
        predictedMs: least,
      }
    : {
        ok: false,
        code: "deadline_unmeetable",
        detail: `the fastest answer needs ${round(idle)} ms, ${left}`,
        predictedMs: idle,
      };
}

/** P(right) less what the work costs where it is done; ε counts arithmetic, so that places compare: a run of everything costs TIE_BREAK. */
function valueFunction(
  application: Application,
): (right: number, option: Candidate, saved: { workMs: number; mflops: number }) => number {
  const everything = Math.max(...application.rungs.map((rung) => rung.mflops.cumulative));
  return (right, option, saved) => {
    const mflops = rungAt(application, option.rung).mflops.cumulative - saved.mflops;
    return right - option.price * (option.workMs - saved.workMs) - (TIE_BREAK * mflops) / everything;
  };
}

const NOTHING_SAVED = { workMs: 0, mflops: 0 };

type Value = ReturnType<typeof valueFunction>;

/** Before any evidence: the cheapest edge exit if it is cheap enough, else whatever is most accurate on average. */
function chooseFirst(
  application: Application,
  wishes: Wishes,
  edge: Candidate[],
  nodes: Candidate[],
  budgetMs: number,
  value: Value,
): Candidate {
  const cheapest = edge[0];
  const wantsNode = wishes.tier === "node" && nodes.length > 0;
  if (cheapest && !wantsNode && (nodes.length === 0 || cheapest.predictedMs <= FIRST_EXIT_SHARE * budgetMs))
    return cheapest;
  const pool = wantsNode ? nodes : [...edge, ...nodes];
  const worth = (option: Candidate) =>
    value(rungAt(application, option.rung).quality.validation, option, NOTHING_SAVED);
  return pool.reduce((best, option) => (worth(option) > worth(best) ? option : best));
}

/** An exit held before the plan begins has cost nothing of this plan's time. */
const HELD = { predictedMs: 0, workMs: 0 };

/** For one exit: per confidence bin, stop or the option with the best value among those still in time from here. */
function rowOfTable(
  input: PlanInput,
  exit: number,
  here: { predictedMs: number; workMs: number },
  edge: Candidate[],
  nodes: Candidate[],
  budgetMs: number,
  value: Value,
): ("stop" | number)[] {
  const { application, wishes } = input;
  const rows = rungAt(application, exit).evidence;
  // The edge goes on from where it is; a node, and an edge that holds only foreign evidence, start over.
  const done =
    here === HELD ? NOTHING_SAVED : { workMs: here.workMs, mflops: rungAt(application, exit).mflops.cumulative };
  const reachable = [
    ...edge.filter((option) => option.rung > exit && (here === HELD || continues(application, option.rung, exit))),
    ...nodes.filter((option) => option.rung > exit && here.predictedMs + option.predictedMs <= budgetMs),
  ];
  return rows.map((row, bin) => {
    const right = (option: Candidate) => rightGiven(application, exit, bin, option.rung);
    const short =
      (wishes.minConfidence !== undefined && row.to <= wishes.minConfidence) ||
      (wishes.minAccuracy !== undefined && rightGiven(application, exit, bin, exit) < wishes.minAccuracy);
    let best: Candidate | null = null;
    let bestValue = short ? Number.NEGATIVE_INFINITY : rightGiven(application, exit, bin, exit);
    for (const option of reachable) {
      const worth = value(right(option), option, option.at.tier === "edge" ? done : NOTHING_SAVED);
      if (worth > bestValue) [best, bestValue] = [option, worth];
    }
    return best ? best.index : "stop";
  });
}

/** Does running on from `exit` lead to `rung` without starting over? */
function continues(application: Application, rung: number, exit: number): boolean {
  return chain(application, rung, exit) !== null;
}

/**
 * After a refusal or loss: from a node to the deepest edge rung in the plan, from the edge to the deepest node
 * option, else to the same rung at another node. Whoever follows it looks at the time left again.
 */
function fallback(application: Application, failed: Candidate, edge: Candidate[], nodes: Candidate[]): number {
  const byQuality = (a: Candidate, b: Candidate) =>
    rungAt(application, b.rung).quality.validation - rungAt(application, a.rung).quality.validation;
  const elsewhere = nodes.filter((option) => !sameMachine(option, failed)).sort(byQuality)[0];
  if (failed.at.tier === "node") return (elsewhere ?? [...edge].sort(byQuality)[0])?.index ?? -1;
  return elsewhere?.index ?? -1;
}

/** The plan in words, for people reading a reply. */
function describe(
  application: Application,
  first: Candidate | undefined,
  next: Plan["next"],
  options: Candidate[],
): string {
  const name = (option: Candidate) =>
    `${rungAt(application, option.rung).name} on ${option.at.tier === "node" ? option.at.node : `the ${option.at.tier}`}`;
  if (!first) return "the evidence that came with the request suffices";
  const goals = [...new Set((next[first.rung] ?? []).filter((step) => step !== "stop"))]
    .map((index) => options[index as number])
    .filter((option) => option !== undefined);
  const start = `start with ${name(first)}`;
  return first.at.tier === "node" || goals.length === 0
    ? start
    : `${start}; if unsure, ${goals.map(name).join(" or ")}`;
}

/** Whole microseconds: what travels need not carry the rest. */
function micro(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
