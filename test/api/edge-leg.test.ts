/** A call of the inference Worker that is not wanted any more: the platform's binding stands in as two functions. */
import { expect, test } from "vitest";
import { callEdge } from "../../functions/api/edge-leg.ts";
import type { ServeContext, ServeRequest } from "../../functions/api/served.ts";
import { ConstantClock } from "../../protocol/clock.ts";
import type { Plan } from "../../protocol/plan.ts";
import { ladder } from "../support/ladder.ts";
import { EDGE } from "../core/attempt-fixture.ts";

test("a cancellation names the ticket of the job it is of, and outlives the reply", async () => {
  const ran: string[] = [];
  const cancelled: string[] = [];
  const kept: Promise<unknown>[] = [];
  const application = ladder();
  const binding = {
    run: (ticket: string) => {
      ran.push(ticket);
      return new Promise(() => undefined);
    },
    cancel: async (ticket: string) => void cancelled.push(ticket),
  };
  const context: ServeContext = {
    env: { [`INFERENCE_${application.platform.toUpperCase()}`]: binding } as unknown as ApiEnv,
    clock: new ConstantClock(0),
    signal: new AbortController().signal,
    waitUntil: (work) => void kept.push(work),
  };
  const plan = { planId: "p", options: EDGE } as unknown as Plan;
  const request = { application, topK: 1 } as unknown as ServeRequest;
  const claim = { user: "u", weight: 1, priority: "normal" } as const;
  const start = { from: "input", input: { datatype: "UINT8", shape: [1], bytes: new ArrayBuffer(1) } } as const;
  const calls = [0, 1].map((call) =>
    callEdge(context, request, claim, {
      do: "edge",
      call,
      plan,
      option: 0,
      start: { ...start, input: { ...start.input, shape: [1] } },
      evidence: [],
      remainingMs: 10,
    }),
  );
  calls[1]?.cancel();
  await Promise.all(kept);
  expect(new Set(ran).size).toBe(2);
  expect(cancelled).toEqual([ran[1]]);
  expect(kept.length).toBe(1);
});
