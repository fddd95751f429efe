/** A node that serves a ladder of two chained exits and a variant, with exact times: medians are tails. */
import type { GatewayEffect } from "../../control/gateway.ts";
import type { NodeJob, NodeRegistration } from "../../protocol/fleet.ts";
import type { AnswerHeader, HelloHeader } from "../../protocol/node-messages.ts";

export const MEDIAN_MS = { 0: 2, 1: 5, 2: 20 } as const;

export const registration = (over: Partial<NodeRegistration> = {}): NodeRegistration => ({
  agentVersion: "test",
  bootId: "boot-1",
  provider: "cpu",
  device: "exact",
  concurrency: 1,
  applications: {
    tiny: {
      version: "1",
      rungs: {
        "0": { medianMs: 2, p95Ms: 2, quality: 0.7, gain: 0.7, stageMs: [{ rung: 0, medianMs: 2, marginalMs: 2 }] },
        "1": {
          medianMs: 5,
          p95Ms: 5,
          quality: 0.8,
          gain: 0.1,
          stageMs: [
            { rung: 0, medianMs: 2, marginalMs: 2 },
            { rung: 1, medianMs: 3, marginalMs: 3 },
          ],
        },
        "2": { medianMs: 20, p95Ms: 20, quality: 0.9, gain: 0.1, stageMs: [{ rung: 2, medianMs: 20, marginalMs: 20 }] },
      },
    },
  },
  ...over,
});

export const hello = (over: Partial<HelloHeader> = {}) =>
  ({
    kind: "hello",
    sequence: 0,
    header: { registration: registration(), busyMs: 0, ...over },
    payload: new Uint8Array(0),
  }) as const;

export const answer = (sequence: number, over: Partial<AnswerHeader> & { rung?: number } = {}) => {
  const { rung = 2, ...header } = over;
  const exit = { exit: rung, bin: 0, confidence: 0.5, top: [] };
  return {
    kind: "answer",
    sequence,
    header: { exit, queueMs: 0, computeMs: 20, batch: 1, backlogMs: 0, ...header },
    payload: new Uint8Array(0),
  } as const;
};

export const refusal = (sequence: number) =>
  ({
    kind: "refusal",
    sequence,
    header: { code: "too_late", detail: "late", backlogMs: 0 },
    payload: new Uint8Array(0),
  }) as const;

export const drain = { kind: "drain", sequence: 0, header: { reason: "SIGTERM" }, payload: new Uint8Array(0) } as const;

export const alive = { kind: "alive", sequence: 0, header: {}, payload: new Uint8Array(0) } as const;

export const job = (ticket: string, over: Partial<NodeJob> = {}): NodeJob => ({
  ticket,
  application: "tiny",
  start: { from: "input", input: { datatype: "UINT8", shape: [64], bytes: new ArrayBuffer(64) } },
  rung: 2,
  minRung: 2,
  remainingMs: 1000,
  topK: 1,
  claim: { user: "u", weight: 1, priority: "normal" },
  ...over,
});

/** The same node, where each further job in a run costs this share of a run alone. */
export function batching(share: number, over: Partial<NodeRegistration> = {}): NodeRegistration {
  const batched = registration(over);
  for (const { stageMs } of Object.values(batched.applications["tiny"]?.rungs ?? {})) {
    for (const stage of stageMs) stage.marginalMs = share * stage.medianMs;
  }
  return batched;
}

/** The effects of one kind. */
export const only = <K extends GatewayEffect["do"]>(effects: readonly GatewayEffect[], kind: K) =>
  effects.filter((effect): effect is Extract<GatewayEffect, { do: K }> => effect.do === kind);

/** The job frame among the effects, if one was sent. */
export function sentJob(effects: readonly GatewayEffect[]) {
  for (const { message } of only(effects, "send")) if (message.kind === "job") return message;
  return undefined;
}
