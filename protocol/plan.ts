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
  /** Why the plan is what it is, for the reply's `reason`. */
  reason: string;
};

/** What an inference isolate says of itself with every reply. */
export type EdgeView = { price: number; aheadMs: number; ageMs: number };

/** What a gateway says of its node with every reply. `backlogMs`: work due within each of BACKLOG_EDGES_MS, the last is later. */
export type NodeView = {
  node: string;
  epoch: number;
  seq: number;
  price: number;
  slowdown: number;
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
  /** Exits already finished elsewhere (the caller's device). */
  evidence?: ExitResult[];
};

export type PlanReply = { ok: true; plan: Plan } | { ok: false; code: ErrorCode; detail: string; predictedMs?: number };

/** One leg of what happened: an option that was tried. It says all that is learnt from, so that no plan need be remembered. */
export type Leg = {
  at: Place;
  rung: number;
  workMs: number;
  predictedMs: number;
  /** Null where it could not be measured honestly. */
  tookMs: number | null;
  /** Predicted work found queued ahead there. */
  aheadMs: number;
  sentBytes: number;
  end: "done" | "refused" | "lost" | "late";
  /** From a node's agent: its own, honest figures. */
  queueMs?: number;
  computeMs?: number;
  /** At the edge: the rung's stages that ran, so that the estimate can compare with their profile. */
  profileMs?: number;
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
