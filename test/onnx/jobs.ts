/** Jobs for the fixture applications. */
import type { EdgeJob, EdgeJobMessage } from "../../protocol/inference.ts";
import { toJsonText } from "../../protocol/json-text.ts";
import type { Claim } from "../../protocol/fleet.ts";
import type { Option, Plan } from "../../protocol/plan.ts";
import samples from "../fixtures/tiny/samples.json";

export const sampleBytes = (index: number): ArrayBuffer =>
  Uint8Array.from(atob((samples[index] as { bytes: string }).bytes), (char) => char.charCodeAt(0)).buffer;

export const logitsOf = (index: number): number[][] => (samples[index] as { logits: number[][] }).logits;

export const edgeOption = (rung: number, minRung = 0, from: Option["from"] = "input"): Option => ({
  rung,
  minRung,
  at: { tier: "edge" },
  from,
  predictedMs: 1,
  workMs: 1,
});

/** A plan that runs `options[0]` to its end, whatever the exits say, unless `next` says more. */
export function plan(options: Option[], next: Plan["next"] = []): Plan {
  const rows = Array.from({ length: 8 }, (_, exit) => next[exit] ?? Array.from({ length: 8 }, () => 0));
  return {
    planId: "p",
    options,
    first: 0,
    next: rows,
    otherwise: options.map(() => -1),
    marginMs: 0,
    edgeSlowdown: 1,
    weight: 1,
    reason: "test",
  };
}

export const claim = (user = "u", over: Partial<Claim> = {}): Claim => ({
  user,
  weight: 1,
  priority: "normal",
  ...over,
});

export function job(application: string, wanted: Plan, remainingMs: number, sample = 0): EdgeJob {
  const input = { datatype: "UINT8" as const, shape: [1, 8, 8], bytes: sampleBytes(sample) };
  return {
    application,
    start: { from: "input", input },
    plan: wanted,
    option: wanted.first,
    remainingMs,
    topK: 3,
    evidence: [],
    claim: claim(),
  };
}

/** The job as it crosses RPC. */
export function message(work: EdgeJob): EdgeJobMessage {
  return { ...work, plan: toJsonText(work.plan) };
}
