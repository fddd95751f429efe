/** Who is asked next after a refusal or a loss, while nothing is held and once something is. */
import { describe, expect, test } from "vitest";
import { answered, begun, calls, code, escalated, lost, ran, refused, withoutWakes } from "./attempt-fixture.ts";

describe("nothing held and nodes that refuse", () => {
  /** Each node falls back to the other. */
  const between = { first: 3, otherwise: [-1, -1, -1, 4, 3] };

  test("two nodes that refuse lead to the edge's deepest rung that still fits, and nobody is asked twice", () => {
    const { machine } = begun(between);
    expect(calls(machine.nodeEnded(0, refused, 10))).toEqual(["b"]);
    expect(withoutWakes(machine.nodeEnded(1, refused, 20))).toMatchObject([{ do: "edge", option: 2, remainingMs: 70 }]);
    expect(calls(machine.edgeEnded(2, ran({ ended: "refused" }), 21))).toEqual(["finished"]);
    expect(code(machine, 22)).toBe("overloaded");
    expect(machine.report(undefined).legs.map(({ end }) => end)).toEqual(["refused", "refused", "refused"]);
  });

  test.each([
    [87.5, [1]],
    [88.5, [0]],
    [89.5, []],
  ])("when the second one refuses at %d ms there is time for the options %j of the edge", (now, options) => {
    const { machine } = begun(between);
    machine.nodeEnded(0, lost, 10);
    const asked = machine.nodeEnded(1, refused, now);
    expect(asked.flatMap((action) => (action.do === "edge" ? [action.option] : []))).toEqual(options);
    expect(machine.finished).toBe(options.length === 0);
  });

  test("a refusing edge and a refusing node lead to the other node", () => {
    const { machine } = begun({ otherwise: [3, -1, -1, -1, -1] });
    expect(calls(machine.edgeEnded(0, ran({ ended: "refused" }), 3))).toEqual(["a"]);
    expect(calls(machine.nodeEnded(1, refused, 9))).toEqual(["b"]);
    expect(calls(machine.nodeEnded(2, answered(), 20))).toEqual(["finished"]);
    expect(machine.answer(21)).toMatchObject({ answer: { exit: 3 }, node: "b" });
  });

  test("with an exit held only the plan's own fallback is tried, and only once in all", () => {
    const { machine } = begun({ otherwise: [-1, -1, -1, -1, -1] });
    machine.edgeEnded(0, escalated(3), 5);
    expect(calls(machine.nodeEnded(1, refused, 10))).toEqual(["finished"]);

    const { machine: other } = begun({ first: 3, otherwise: [-1, -1, -1, 0, 2] });
    expect(calls(other.nodeEnded(0, refused, 10))).toEqual(["edge"]);
    expect(calls(other.edgeEnded(1, escalated(4), 12))).toEqual(["b"]);
    expect(calls(other.nodeEnded(2, refused, 14))).toEqual(["finished"]);
    expect(other.answer(15)).toMatchObject({ answer: { exit: 0 }, degraded: true });
  });

  test("who refused is not asked beside another either", () => {
    const { machine } = begun({ ...between, hedge: [-1, -1, -1, -1, 3] });
    expect(calls(machine.nodeEnded(0, refused, 10))).toEqual(["b"]);
  });
});
