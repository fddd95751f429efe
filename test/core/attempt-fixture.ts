/** One request's attempt and what may come back to it: a plan of three edge rungs, and a heavy one at each of two nodes. */
import { AttemptMachine, type AttemptAction } from "../../control/attempt.ts";
import { DystriError } from "../../protocol/errors.ts";
import type { NodeReply } from "../../protocol/fleet.ts";
import type { RunResult } from "../../protocol/inference.ts";
import type { ExitResult, Option, Plan } from "../../protocol/plan.ts";
import { ladder, nodeView } from "../support/ladder.ts";

/** Three chained rungs at the edge, of 1, 2 and 3 ms. */
export const EDGE: Option[] = [0, 1, 2].map((rung) => ({
  rung,
  minRung: 0,
  at: { tier: "edge" },
  from: "input",
  predictedMs: rung + 1,
  workMs: rung + 1,
}));

/** A rung at a node, the heavy one unless told otherwise: 20 ms with the way there, 5 of them work. */
export const node = (name: string, rung = 3): Option => ({
  rung,
  minRung: 0,
  at: { tier: "node", node: name },
  from: "input",
  predictedMs: 20,
  workMs: 5,
});

/** Options 0–2: edge rungs; 3 and 4: the heavy rung at nodes a and b. Unsure inputs go to a; a falls back to b, b to the edge. */
const plan = (over: Partial<Plan> = {}): Plan => ({
  planId: "p",
  options: [...EDGE, node("a"), node("b")],
  first: 0,
  next: [
    [3, 2, "stop"],
    [3, "stop", "stop"],
    [3, "stop", "stop"],
    ["stop", "stop", "stop"],
  ],
  otherwise: [3, 3, 3, 4, 2],
  marginMs: 10,
  edgeSlowdown: 1,
  weight: 1,
  reason: "",
  ...over,
});

/** What one rung finished with. */
export const exit = (rung: number, bin = 0): ExitResult => ({
  exit: rung,
  bin,
  confidence: 0.3 + 0.3 * bin,
  top: [[0, 0.5]],
});

/** How a run at the edge ended; unless told otherwise it stopped with nothing. */
export const ran = (over: Partial<RunResult>): RunResult => ({
  exits: [],
  ended: "stop",
  edge: { price: 0, aheadMs: 0, ageMs: 0 },
  profileMs: 1,
  aheadMs: 0,
  ...over,
});

/** The edge finished its first exit and leads to this option. */
export const escalated = (option: number): RunResult => ran({ exits: [exit(0)], ended: "escalate", option });

/** A node's answer at this rung. */
export const answered = (rung = 3): NodeReply => ({
  kind: "answer",
  exit: exit(rung),
  queueMs: 1,
  computeMs: 5,
  batch: 1,
  view: nodeView("a"),
});

/** A node's refusal, and a job lost with its connection. */
export const refused: NodeReply = { kind: "refused", code: "too_late", detail: "full", view: nodeView("a") };
export const lost: NodeReply = { kind: "lost", reason: "disconnected", view: nodeView("a") };

/** An attempt and how it begins. Deadline 100 from instant 0; the plan came at 2. */
export function begun(
  over: Partial<Plan> = {},
  heldElsewhere?: number,
): { machine: AttemptMachine; actions: AttemptAction[] } {
  const application = ladder();
  const input = { datatype: "UINT8", shape: [64], bytes: new ArrayBuffer(64) } as const;
  const request = {
    application,
    input: { ...input, shape: [64] },
    receivedAt: 0,
    deadlineMs: 100,
    ...(heldElsewhere === undefined ? {} : { heldElsewhere }),
  };
  const machine = new AttemptMachine(request, plan(over), 2);
  return { machine, actions: machine.begin(2) };
}

/** Whom these actions ask, by name, and what else they do; wakes are left out. */
export const calls = (actions: AttemptAction[]) =>
  actions.flatMap((a) => (a.do === "edge" ? ["edge"] : a.do === "node" ? [a.node] : a.do === "wake" ? [] : [a.do]));

/** What these actions do besides waking the attempt again. */
export const withoutWakes = (actions: AttemptAction[]) => actions.filter((action) => action.do !== "wake");

/** Why there is no answer at this instant; the answer's own reason where there is one. */
export const code = (machine: AttemptMachine, now: number): string => {
  try {
    return machine.answer(now).reason;
  } catch (error) {
    return error instanceof DystriError ? error.code : String(error);
  }
};
