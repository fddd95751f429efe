/** Two nodes asked side by side. */
import { describe, expect, test } from "vitest";
import { answered, begun, calls, EDGE, escalated, exit, lost, node, ran, refused } from "./attempt-fixture.ts";

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
