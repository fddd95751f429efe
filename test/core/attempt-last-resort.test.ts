/** A silent node is given up in time for the edge's least answer. */
import { describe, expect, test } from "vitest";
import {
  answered,
  begun,
  calls,
  code,
  EDGE,
  escalated,
  exit,
  node,
  ran,
  refused,
  withoutWakes,
} from "./attempt-fixture.ts";

describe("the last resort", () => {
  test("a silent node is given up in time for the edge's least answer; what it says later changes nothing", () => {
    const { machine, actions } = begun({ first: 3 });
    // Twice the millisecond that the edge's first exit takes is kept, and the margin of 10 once more.
    expect(actions).toMatchObject([
      { do: "wake", afterMs: 88 },
      { do: "wake", afterMs: 76 },
      { do: "node", node: "a", remainingMs: 88 },
    ]);
    const resort = machine.timeUp(78);
    expect(resort).toMatchObject([
      { do: "wake", afterMs: 12 },
      { do: "cancel", call: 0 },
      { do: "edge", call: 1, option: 0, remainingMs: 12 },
    ]);
    expect(machine.nodeEnded(0, answered(), 78.5)).toEqual([]);
    expect(calls(machine.edgeEnded(1, ran({ exits: [exit(0)] }), 79))).toEqual(["finished"]);
    expect(machine.nodeEnded(0, answered(), 79.5)).toEqual([]);
    expect(machine.answer(80)).toMatchObject({
      answer: { exit: 0 },
      tier: "edge",
      deadlineMet: true,
      degraded: true,
      reason: "a did not answer in time",
    });
    expect(machine.report(undefined)).toMatchObject({
      outcome: "onTime",
      rung: 0,
      legs: [
        { at: { node: "a" }, end: "late", tookMs: null },
        { at: { tier: "edge" }, end: "done" },
      ],
    });
  });

  test("an answer before that is the answer", () => {
    const { machine } = begun({ first: 3 });
    expect(calls(machine.nodeEnded(0, answered(), 77))).toEqual(["finished"]);
    expect(machine.answer(77)).toMatchObject({ node: "a", degraded: false });
  });

  test("after a refusal the next node is given up in time as well, and at the edge the wake is the deadline's again", () => {
    const { machine: other } = begun({ first: 3 });
    expect(other.nodeEnded(0, refused, 10)).toMatchObject([
      { do: "wake", afterMs: 80 },
      { do: "wake", afterMs: 68 },
      { node: "b" },
    ]);
    expect(other.timeUp(78)).toMatchObject([
      { do: "wake", afterMs: 12 },
      { do: "cancel", call: 1 },
      { do: "edge", option: 0 },
    ]);

    const { machine } = begun({ first: 4 });
    expect(machine.nodeEnded(0, refused, 10)).toMatchObject([
      { do: "wake", afterMs: 80 },
      { do: "edge", option: 2 },
    ]);
    expect(machine.timeUp(90)).toEqual([
      { do: "cancel", call: 1 },
      { do: "wake", afterMs: 5 },
    ]);
  });

  test("what the asker holds is never asked for again: no last resort, no shallower fallback, no shallower answer", () => {
    const { machine, actions } = begun({ first: 3, otherwise: [3, 3, 3, 2, 2] }, 2);
    expect(actions).toMatchObject([
      { do: "wake", afterMs: 88 },
      { node: "a", option: { rung: 3, minRung: 3 } },
    ]);
    expect(machine.nodeEnded(0, refused, 10)).toEqual([{ do: "finished" }]);
    // One exit less, and the edge has one to add.
    const { machine: shallower } = begun({ first: 3, otherwise: [3, 3, 3, 2, 2] }, 1);
    expect(withoutWakes(shallower.nodeEnded(0, refused, 10))).toMatchObject([{ do: "edge", option: 2 }]);
  });

  test("where the time is too short for both the node is waited for to the end", () => {
    // 88 ms are left: 12 for the edge, 76 for a node that is given twice its time.
    const taking = (predictedMs: number) => begun({ first: 3, options: [...EDGE, { ...node("a"), predictedMs }] });
    const wakes = ({ actions }: ReturnType<typeof begun>) => actions.filter((action) => action.do === "wake");
    expect(wakes(taking(37.9))).toHaveLength(2);
    const tight = taking(38);
    expect(wakes(tight)).toEqual([{ do: "wake", afterMs: 88 }]);
    expect(calls(tight.machine.timeUp(90))).toEqual(["cancel", "finished"]);
    expect(code(tight.machine, 90)).toBe("deadline_exceeded");
  });

  test("with an exit held, or without the edge in the plan, there is none", () => {
    const { machine } = begun();
    expect(machine.edgeEnded(0, escalated(3), 5)).toMatchObject([{ do: "node" }]);
    const { actions } = begun({ first: 0, options: [node("a")], next: [], otherwise: [-1] });
    expect(actions).toMatchObject([{ do: "wake", afterMs: 88 }, { do: "node" }]);
  });

  test("an edge that is silent as well is told to stop at the margin", () => {
    const { machine } = begun({ first: 3 });
    machine.timeUp(88);
    expect(machine.timeUp(90)).toEqual([
      { do: "cancel", call: 1 },
      { do: "wake", afterMs: 5 },
    ]);
    expect(calls(machine.timeUp(95))).toEqual(["finished"]);
    expect(code(machine, 95)).toBe("deadline_exceeded");
    expect(machine.report(undefined).legs.map(({ end }) => end)).toEqual(["late", "late"]);
  });

  test("neither who was silent nor who refused before is asked again", () => {
    // What is left for the last resort would do for a node as well.
    const slowEdge = EDGE.map((option, i) => ({ ...option, predictedMs: 10 + i }));
    const quick = ["a", "b"].map((name) => ({ ...node(name), predictedMs: 15 }));
    const { machine } = begun({ first: 3, options: [...slowEdge, ...quick], hedge: [-1, -1, -1, 4, -1] });
    expect(machine.nodeEnded(1, refused, 10)).toEqual([]);
    const resort = machine.timeUp(70);
    expect(calls(resort)).toEqual(["cancel", "edge"]);
    const steps = resort.flatMap((action) => (action.do === "edge" ? action.plan.next.flat() : []));
    expect(steps).not.toContain(3);
    expect(steps).not.toContain(4);
    expect(calls(machine.edgeEnded(2, ran({ ended: "refused" }), 71))).toEqual(["finished"]);
    expect(machine.report(undefined).legs.map(({ end }) => end)).toEqual(["refused", "late", "refused"]);
  });
});
