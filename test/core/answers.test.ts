import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { binOf, chain, chainReferenceMs, rightGiven, rungAt } from "../../control/ladder.ts";
import { exitResult, softmax } from "../../runtime/answers.ts";
import { normalise } from "../../runtime/normalise.ts";
import { tiny } from "./tiny.ts";

const logits = fc.array(fc.double({ min: -1000, max: 1000, noNaN: true }), { minLength: 1, maxLength: 20 });

describe("answers", () => {
  test("softmax sums to one, keeps the order, and does not overflow", () => {
    fc.assert(
      fc.property(logits, fc.double({ min: 0.1, max: 10, noNaN: true }), (z, temperature) => {
        const p = softmax(z, temperature);
        expect(p.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 9);
        z.forEach((a, i) => z.forEach((b, j) => a > b && expect(p[i]).toBeGreaterThanOrEqual(p[j] as number)));
      }),
    );
    expect(softmax([0, Math.log(3)], 1)[1]).toBeCloseTo(0.75);
    expect(softmax([0, Math.log(9)], 2)[1]).toBeCloseTo(0.75);
  });

  test("an exit reports its best labels in order, its confidence, and the bin the confidence falls in", () => {
    const result = exitResult(rungAt(tiny, 2), 2, [0, 3, 1], 2);
    expect(result.exit).toBe(2);
    expect(result.top.map(([label]) => label)).toEqual([1, 2]);
    expect(result.confidence).toBe(result.top[0]?.[1]);
    expect(result.bin).toBe(binOf(rungAt(tiny, 2).evidence, result.confidence));
    expect(exitResult(rungAt(tiny, 2), 2, [0, 3, 1], 100).top.length).toBe(3);
  });
});

describe("the ladder", () => {
  test("bins are open below and closed above, and the ends belong to the first and the last", () => {
    const rows = rungAt(tiny, 0).evidence;
    rows.forEach(({ from, to }, bin) => {
      expect(binOf(rows, to)).toBe(bin);
      expect(binOf(rows, (from + to) / 2)).toBe(bin);
    });
    expect(binOf(rows, 0)).toBe(0);
    expect(binOf(rows, 1)).toBe(rows.length - 1);
  });

  test("a chain names what must run, from the input or from a cut on the way", () => {
    expect(chain(tiny, 1, "input")).toEqual([0, 1]);
    expect(chain(tiny, 1, 0)).toEqual([1]);
    expect(chain(tiny, 2, "input")).toEqual([2]);
    expect(chain(tiny, 2, 0)).toBeNull();
    expect(chain(tiny, 0, 0)).toEqual([]);
    const { edge } = rungAt(tiny, 1).referenceMs;
    expect(chainReferenceMs(tiny, [0, 1], "edge")).toBeCloseTo(rungAt(tiny, 0).referenceMs.edge + edge);
    expect(() => rungAt(tiny, 3)).toThrow(RangeError);
    expect(rightGiven(tiny, 0, 1, 2)).toBe(rungAt(tiny, 0).evidence[1]?.right[2]);
    expect(() => rightGiven(tiny, 0, 1, 9)).toThrow(RangeError);
  });
});

test("pixels are scaled channel by channel", () => {
  const preprocessing = {
    kind: "image" as const,
    channels: 3 as const,
    width: 2,
    height: 1,
    mean: [0, 0.5, 1],
    std: [1, 0.5, 0.25],
  };
  const colour = { ...tiny, input: { ...tiny.input, shape: [3, 1, 2], bytes: 6, preprocessing } };
  const bytes = Uint8Array.of(0, 255, 0, 255, 0, 255).buffer;
  const { dims, data } = normalise(colour, { datatype: "UINT8", shape: [3, 1, 2], bytes });
  expect(dims).toEqual([1, 3, 1, 2]);
  [0, 1, -1, 1, -4, 0].forEach((value, i) => expect(Number(data[i])).toBeCloseTo(value, 5));
});
