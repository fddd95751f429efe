import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AttemptMachine, type AttemptAction } from "../../control/attempt.ts";
import { DystriError } from "../../protocol/errors.ts";
import type { NodeReply } from "../../protocol/fleet.ts";
import type { RunResult } from "../../protocol/inference.ts";
import type { ExitResult, Option, Plan } from "../../protocol/plan.ts";
import { ladder, nodeView } from "../support/ladder.ts";

const EDGE: Option[] = [0, 1, 2].map((rung) => ({
  rung,
  minRung: 0,
  at: { tier: "edge" },
  from: "input",
  predictedMs: rung + 1,
  workMs: rung + 1,
}));
const node = (name: string, rung = 3): Option => ({
  rung,
  minRung: 1,
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

const exit = (rung: number, bin = 0): ExitResult => ({ exit: rung, bin, confidence: 0.3 + 0.3 * bin, top: [[0, 0.5]] });
const ran = (over: Partial<RunResult>): RunResult => ({
  exits: [],
  ended: "stop",
  edge: { price: 0, aheadMs: 0, ageMs: 0 },
  profileMs: 1,
  aheadMs: 0,
  ...over,
});
const escalated = (option: number): RunResult => ran({ exits: [exit(0)], ended: "escalate", option });
const answered = (rung = 3): NodeReply => ({
  kind: "answer",
  exit: exit(rung),
  queueMs: 1,
  computeMs: 5,
  batch: 1,
  view: nodeView("a"),
});
const refused: NodeReply = { kind: "refused", code: "too_late", detail: "full", view: nodeView("a") };
const lost: NodeReply = { kind: "lost", reason: "disconnected", view: nodeView("a") };

/** Deadline 100 from instant 0; the plan came at 2. */
function begun(over: Partial<Plan> = {}): { machine: AttemptMachine; actions: AttemptAction[] } {
  const application = ladder();
  const input = { datatype: "UINT8", shape: [64], bytes: new ArrayBuffer(64) } as const;
  const request = { application, input: { ...input, shape: [64] }, receivedAt: 0, deadlineMs: 100 };
  const machine = new AttemptMachine(request, plan(over), 2);
  return { machine, actions: machine.begin(2) };
}
const calls = (actions: AttemptAction[]) =>
  actions.flatMap((a) => (a.do === "edge" ? ["edge"] : a.do === "node" ? [a.node] : a.do === "wake" ? [] : [a.do]));
const code = (machine: AttemptMachine, now: number): string => {
  try {
    return machine.answer(now).reason;
  } catch (error) {
    return error instanceof DystriError ? error.code : String(error);
  }
};

describe("one request's way", () => {
  test("an edge answer that satisfies the plan is the answer", () => {
    const { machine, actions } = begun();
    expect(actions).toMatchObject([
      { do: "wake", afterMs: 88 },
      { do: "edge", option: 0, remainingMs: 88 },
    ]);
    expect(calls(machine.edgeEnded(0, ran({ exits: [exit(0, 2)] }), 5))).toEqual(["finished"]);
    expect(machine.answer(6)).toMatchObject({ answer: { exit: 0 }, tier: "edge", deadlineMet: true, degraded: false });
    expect(machine.report(undefined)).toMatchObject({
      outcome: "onTime",
      rung: 0,
      bin: 2,
      legs: [{ rung: 0, tookMs: 3, profileMs: 1, end: "done" }],
    });
  });

  test("escalates with the cut where the option resumes from it", () => {
    const cut = { shape: [4], code: "u8", scale: 1, zero: 0, deflated: true, bytes: new ArrayBuffer(7) } as const;
    const options = [...EDGE, { ...node("a"), from: 0 }];
    const { machine } = begun({ options, otherwise: [-1, -1, -1, -1] });
    const actions = machine.edgeEnded(0, { ...escalated(3), cut: { ...cut, shape: [4] } }, 5);
    expect(actions).toMatchObject([{ do: "node", node: "a", start: { from: 0 }, remainingMs: 85 }]);
    machine.nodeEnded(1, answered(), 20);
    expect(machine.report(undefined).legs).toMatchObject([{ sentBytes: 0 }, { sentBytes: 7, tookMs: 15, batch: 1 }]);
  });

  test("a refusal falls back once, to what fits and is deeper; then the exit held is the answer, degraded", () => {
    const { machine } = begun();
    machine.edgeEnded(0, escalated(3), 5);
    expect(calls(machine.nodeEnded(1, refused, 10))).toEqual(["b"]);
    expect(calls(machine.nodeEnded(2, lost, 20))).toEqual(["finished"]);
    expect(machine.answer(21)).toMatchObject({ answer: { exit: 0 }, degraded: true, tier: "edge", node: null });
    expect(machine.report(undefined).legs.map((leg) => leg.end)).toEqual(["done", "refused", "lost"]);
  });

  test("no retry that is predicted not to fit", () => {
    const { machine } = begun();
    machine.edgeEnded(0, escalated(3), 5);
    expect(calls(machine.nodeEnded(1, lost, 75))).toEqual(["finished"]);
    expect(machine.answer(76)).toMatchObject({ answer: { exit: 0 }, degraded: true });
  });

  test("a fallback to the edge is not led back to the node that failed", () => {
    const { machine } = begun({ first: 4 });
    const [action] = machine.nodeEnded(0, lost, 10);
    expect(action).toMatchObject({
      do: "edge",
      option: 2,
      plan: {
        next: [
          [3, 2, "stop"],
          [3, "stop", "stop"],
          [3, "stop", "stop"],
          ["stop", "stop", "stop"],
        ],
      },
    });
    const { machine: other } = begun({ first: 3, otherwise: [-1, -1, -1, 2, -1] });
    expect(other.nodeEnded(0, lost, 10)[0]).toMatchObject({
      do: "edge",
      plan: {
        next: [
          [2, 2, "stop"],
          [2, "stop", "stop"],
          ["stop", "stop", "stop"],
          ["stop", "stop", "stop"],
        ],
      },
    });
  });

  test("at the margin the edge is told to stop and what it has finished is taken", () => {
    const { machine } = begun();
    expect(machine.timeUp(90)).toEqual([
      { do: "cancel", call: 0 },
      { do: "wake", afterMs: 5 },
    ]);
    expect(calls(machine.edgeEnded(0, ran({ exits: [exit(0)], ended: "cancelled" }), 92))).toEqual(["finished"]);
    expect(machine.answer(92)).toMatchObject({ answer: { exit: 0 }, degraded: true, deadlineMet: true });
  });

  test("an escalation that comes within the grace is not followed, whatever the clock says", () => {
    const { machine } = begun();
    machine.timeUp(2);
    expect(calls(machine.edgeEnded(0, escalated(3), 2))).toEqual(["finished"]);
    expect(machine.answer(2)).toMatchObject({ answer: { exit: 0 }, degraded: true });
  });

  test("silence to the end is deadline_exceeded without an exit, an answer with one", () => {
    const { machine } = begun();
    machine.timeUp(90);
    expect(calls(machine.timeUp(95))).toEqual(["finished"]);
    expect(code(machine, 95)).toBe("deadline_exceeded");
    expect(machine.report(undefined)).toMatchObject({ outcome: "failed", legs: [{ end: "late", tookMs: 93 }] });

    const { machine: other } = begun();
    other.edgeEnded(0, escalated(3), 5);
    expect(calls(other.timeUp(90))).toEqual(["cancel", "finished"]);
    expect(other.answer(90)).toMatchObject({ answer: { exit: 0 }, degraded: true });
  });

  test("refused everywhere is overloaded", () => {
    const { machine } = begun();
    expect(calls(machine.edgeEnded(0, ran({ ended: "refused" }), 3))).toEqual(["a"]);
    machine.nodeEnded(1, refused, 9);
    expect(code(machine, 10)).toBe("overloaded");
    expect(machine.report(undefined).outcome).toBe("rejected");
  });

  test("the edge's own error is told when nothing else answers", () => {
    const { machine } = begun({ otherwise: [-1, -1, -1, -1, -1] });
    machine.edgeFailed(0, new DystriError("runtime_init_failed", "no"), 3);
    expect(code(machine, 4)).toBe("runtime_init_failed");
  });

  test("a client that has gone ends everything", () => {
    const { machine } = begun();
    expect(calls(machine.cancelled())).toEqual(["cancel", "finished"]);
    expect(code(machine, 4)).toBe("client_gone");
    expect(machine.report(undefined)).toMatchObject({
      outcome: "cancelled",
      legs: [{ end: "cancelled", tookMs: null }],
    });
  });
});

describe("hedging", () => {
  const hedge = [-1, -1, -1, 4, -1];

  test("two nodes run side by side; the first answer wins, the other is cancelled, both are told", () => {
    const { machine } = begun({ hedge });
    expect(calls(machine.edgeEnded(0, escalated(3), 5))).toEqual(["a", "b"]);
    expect(machine.nodeEnded(2, answered(), 15)).toEqual([{ do: "cancel", call: 1 }, { do: "finished" }]);
    expect(machine.nodeEnded(1, answered(), 16)).toEqual([]);
    expect(machine.answer(16)).toMatchObject({ node: "b", degraded: false });
    const legs = machine.report(undefined).legs.map(({ end, hedge: beside }) => [end, beside]);
    expect(legs).toEqual([
      ["done", undefined],
      ["done", true],
      ["cancelled", undefined],
    ]);
  });

  test("one that fails leaves the other running; when both have, there is one fallback, at neither", () => {
    const { machine } = begun({ hedge, otherwise: [-1, -1, -1, 4, 2] });
    machine.edgeEnded(0, escalated(3), 5);
    expect(machine.nodeEnded(1, refused, 10)).toEqual([]);
    expect(machine.nodeEnded(2, lost, 12)).toMatchObject([{ do: "edge", option: 2 }]);
    machine.edgeEnded(3, ran({ exits: [exit(2, 2)] }), 20);
    expect(machine.answer(21)).toMatchObject({ answer: { exit: 2 }, degraded: true });
  });

  test("nothing is hedged that does not fit", () => {
    const { machine } = begun({ hedge, options: [...EDGE, node("a"), { ...node("b"), predictedMs: 86 }] });
    expect(calls(machine.edgeEnded(0, escalated(3), 5))).toEqual(["a"]);
  });
});

/** What may happen to a running call, or to the request. */
const happening = fc.record({
  what: fc.constantFrom(
    "stop",
    "escalate",
    "refuse",
    "late",
    "lose",
    "throw",
    "answer",
    "time",
    "gone",
    "again" as const,
  ),
  /** Which of the running calls. */
  which: fc.nat(3),
  rung: fc.nat(3),
  bin: fc.nat(2),
  option: fc.integer({ min: -1, max: 5 }),
  afterMs: fc.integer({ min: 0, max: 30 }),
});

test("under any order of events a request finishes exactly once, and never in an error once an exit is held", () => {
  fc.assert(
    fc.property(
      fc.array(happening, { maxLength: 40 }),
      fc.integer({ min: -1, max: 4 }),
      fc.array(fc.integer({ min: -1, max: 4 }), { minLength: 5, maxLength: 5 }),
      fc.option(fc.array(fc.integer({ min: -1, max: 4 }), { minLength: 5, maxLength: 5 }), { nil: undefined }),
      (events, first, otherwise, hedge) => {
        const { machine, actions } = begun({ first, otherwise, ...(hedge ? { hedge } : {}) });
        const running = new Map<number, AttemptAction>();
        let finishes = 0;
        let opened = 0;
        let deepest = -1;
        let goneFirst = false;
        let now = 2;
        let last: (() => AttemptAction[]) | null = null;
        const follow = (next: AttemptAction[]): void => {
          for (const action of next) {
            if (action.do === "edge" || action.do === "node") {
              opened++;
              expect(action.remainingMs).toBeGreaterThan(0);
              running.set(action.call, action);
            }
            if (action.do === "cancel" && running.get(action.call)?.do === "node") running.delete(action.call);
            if (action.do === "finished") finishes++;
          }
        };
        follow(actions);
        for (const event of events) {
          now += event.afterMs;
          const open = [...running.values()];
          const target = open[event.which % Math.max(1, open.length)];
          const finished = machine.finished;
          let act: (() => AttemptAction[]) | null = null;
          if (event.what === "time") act = () => machine.timeUp(now);
          else if (event.what === "gone") {
            goneFirst ||= !finished;
            act = () => machine.cancelled();
          } else if (event.what === "again") act = last;
          else if (target?.do === "edge") {
            running.delete(target.call);
            const exits = event.what === "refuse" ? [] : [exit(event.rung % 3, event.bin)];
            const ended = { stop: "stop", escalate: "escalate", refuse: "refused", late: "late" }[event.what as string];
            const result = ran({ exits, ended: (ended ?? "cancelled") as RunResult["ended"], option: event.option });
            const threw = event.what === "throw";
            if (!finished && !threw) deepest = Math.max(deepest, exits[0]?.exit ?? -1);
            act = () =>
              threw
                ? machine.edgeFailed(target.call, new DystriError("internal", "x"), now)
                : machine.edgeEnded(target.call, result, now);
          } else if (target?.do === "node") {
            running.delete(target.call);
            const reply = event.what === "answer" ? answered(event.rung) : event.what === "refuse" ? refused : lost;
            if (!finished && reply.kind === "answer" && event.what !== "throw") deepest = Math.max(deepest, event.rung);
            act = () =>
              event.what === "throw" ? machine.nodeLost(target.call, now) : machine.nodeEnded(target.call, reply, now);
          }
          if (!act) continue;
          const next = act();
          if (event.what !== "time" && event.what !== "gone") last = act;
          if (finished || event.what === "again") expect(next).toEqual([]);
          follow(next);
        }
        // Nothing more comes: time ends it, at the second call at the latest.
        for (let i = 0; i < 2; i++) follow(machine.timeUp(now));
        expect(finishes).toBe(1);
        expect(machine.finished).toBe(true);
        if (goneFirst) expect(code(machine, now)).toBe("client_gone");
        else if (deepest >= 0) expect(machine.answer(now).answer.exit).toBe(deepest);
        else expect(() => machine.answer(now)).toThrow(DystriError);
        const { legs } = machine.report(undefined);
        expect(legs).toHaveLength(opened);
      },
    ),
    { numRuns: 2000 },
  );
});
