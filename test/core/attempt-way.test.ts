/** One request's way from its plan to its answer: exits, nodes, the margin, errors, and a client that has gone. */
import { describe, expect, test } from "vitest";
import { DystriError } from "../../protocol/errors.ts";
import {
  answered,
  begun,
  calls,
  code,
  EDGE,
  escalated,
  exit,
  lost,
  node,
  ran,
  refused,
  withoutWakes,
} from "./attempt-fixture.ts";

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

  test("a node may answer any rung deeper than what is held", () => {
    expect(begun({ first: 3 }).actions.at(-1)).toMatchObject({ node: "a", option: { rung: 3, minRung: 0 } });
    const { machine } = begun();
    expect(machine.edgeEnded(0, escalated(3), 5)).toMatchObject([{ node: "a", option: { rung: 3, minRung: 1 } }]);
  });

  test("no retry that is predicted not to fit", () => {
    const { machine } = begun();
    machine.edgeEnded(0, escalated(3), 5);
    expect(calls(machine.nodeEnded(1, lost, 75))).toEqual(["finished"]);
    expect(machine.answer(76)).toMatchObject({ answer: { exit: 0 }, degraded: true });
  });

  test("a fallback to the edge is not led back to the node that failed", () => {
    const { machine } = begun({ first: 4 });
    const [action] = withoutWakes(machine.nodeEnded(0, lost, 10));
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
    expect(withoutWakes(other.nodeEnded(0, lost, 10))[0]).toMatchObject({
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
