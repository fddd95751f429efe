/**
 * The types one request's decision travels in. The words of docs/design.md: rung, exit, tier, plan, price, view.
 * Durations are milliseconds (`…Ms`); work is milliseconds on the reference device; an age travels, never an instant.
 */
import type { ErrorCode } from "./errors.ts";

export type Tier = "device" | "edge" | "node";

/** What one finished exit says. `bin` indexes the rung's evidence rows; `confidence` is the calibrated maximum. */
export type ExitResult = { exit: number; bin: number; confidence: number; top: [label: number, p: number][] };

/** Where an option computes. */
export type Place = { tier: "device" | "edge" } | { tier: "node"; node: string };

/** One way to go on: run `rung` (never below `minRung`) at a place, resuming from the input or from a cut. */
export type Option = {
  rung: number;
  minRung: number;
  at: Place;
  from: "input" | number;
  /** From asking for it to holding its answer, by profile, slow-down, queue and network. */
  predictedMs: number;
  workMs: number;
};

/**
 * A contingent decision for one request. `next[exit][bin]` says what to do once that exit has answered with a
 * confidence in that bin; `otherwise[option]` where to go, once, after that option was refused or lost
 * (−1: answer with the deepest exit held).
 */
export type Plan = {
  planId: string;
  options: Option[];
  /** The option to begin with; −1 when the evidence that came with the request already suffices. */
  first: number;
  next: ("stop" | number)[][];
  otherwise: number[];
  /** Kept back from the deadline for the reply to travel. */
  marginMs: number;
  /** How much slower than its profile the edge is believed to be: what its isolate, which cannot time itself, plans by. */
  edgeSlowdown: number;
  /** The user's weight, by which machines share themselves out when work queues (control/fair-share). */
  weight: number;
  /** Why the plan is what it is, for the reply's `reason`. */
  reason: string;
  /** Per option, another node's option to run beside it, −1 for none. Absent where nothing is hedged. */
  hedge?: number[];
  /** What was weighed, where the caller asked. */
  explanation?: Weighed[];
};

/** One candidate as the planner saw it before any evidence. */
export type Weighed = {
  at: Place;
  rung: number;
  from: "input" | number;
  /** Expected, and the upper estimate that feasibility was decided on. */
  predictedMs: number;
  tailMs: number;
  /** P(right) on average over inputs. */
  accuracy: number;
  /** Per millisecond of the machine, in accuracy, as this user pays it; and what the work costs at that price. */
  price: number;
  cost: number;
  verdict: "first" | "planned" | "fallback" | "too slow" | "worth less";
};

/** What an inference isolate says of itself with every reply. */
export type EdgeView = { price: number; aheadMs: number; ageMs: number };

/** What a gateway says of its node with every reply. `backlogMs`: work due within each of BACKLOG_EDGES_MS, the last is later. */
export type NodeView = {
  node: string;
  epoch: number;
  seq: number;
  price: number;
  /** Of its profile, expected; and the 95th percentile as a multiple of that, at least 1. */
  slowdown: number;
  tail: number;
  backlogMs: number[];
  ageMs: number;
};

/** Upper edges of `NodeView.backlogMs`; the sixth entry is everything later. */
export const BACKLOG_EDGES_MS = [25, 50, 100, 200, 400] as const;

/** Most options a plan may hold: bounds both the decision and what travels. */
export const MAX_OPTIONS = 32;

/** What a caller may wish for; floors are wishes under `best_effort` and conditions under `strict`. */
export type Wishes = {
  deadlinePolicy: "best_effort" | "strict";
  minAccuracy?: number;
  minConfidence?: number;
  maxExit?: number;
  tier?: "edge" | "node";
  /** `high` may be hedged and is evicted last, `low` is evicted first. */
  priority?: "low" | "normal" | "high";
};

export type PlanRequest = {
  application: string;
  /** SHA-256 of the key's secret, hex: checked in the same round trip as the plan is made. */
  secretDigest: string;
  /** Time left when the question was asked. */
  remainingMs: number;
  wishes: Wishes;
  /** The last view of the inference isolate this caller saw, with its own calls outstanding since counted in `aheadMs`. */
  edge?: EdgeView;
  /** Of a millisecond of the asking front's own thread, in accuracy; absent while there is enough of it. */
  threadPrice?: number;
  /** Exits already finished elsewhere (the caller's device). */
  evidence?: ExitResult[];
  /** Ask for `Plan.explanation`. */
  explain?: boolean;
};

export type PlanReply =
  | { ok: true; plan: Plan }
  | { ok: false; code: ErrorCode; detail: string; predictedMs?: number; retryAfterMs?: number };

/** One leg of what happened: an option that was tried. It says all that is learnt from, so that no plan need be remembered. */
export type Leg = {
  at: Place;
  rung: number;
  workMs: number;
  predictedMs: number;
  /** Null where it could not be measured honestly. */
  tookMs: number | null;
  /** At the edge: profile work of others that ran before the end of this. */
  aheadMs: number;
  sentBytes: number;
  /** `cancelled`: another answer was faster, or the client had gone. */
  end: "done" | "refused" | "lost" | "late" | "cancelled";
  /** From a node's agent: its own, honest figures. */
  queueMs?: number;
  computeMs?: number;
  /** Jobs that shared that compute time, this one included. */
  batch?: number;
  /** True for a second node asked beside the first. */
  hedge?: boolean;
  /** At the edge: the rung's stages that ran, so that the estimate can compare with their profile. */
  profileMs?: number;
  /** Nothing came back: `tookMs` is how long was waited, `profileMs` what was asked for. */
  censored?: boolean;
};

export type Outcome = "onTime" | "late" | "rejected" | "failed" | "cancelled";

/** Told to the user's controller after the reply has gone. */
export type Report = {
  planId: string;
  application: string;
  outcome: Outcome;
  /** Of the answer given; −1 when there was none. */
  rung: number;
  bin: number;
  legs: Leg[];
  edge?: EdgeView;
  nodes: NodeView[];
};
