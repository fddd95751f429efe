import fc from "fast-check";
import { expect, test } from "vitest";
import { BatchSizes } from "../../bench/sim/batch-sizes.ts";

const instant = fc.integer({ min: 0, max: 60 });
const span = fc.tuple(instant, fc.integer({ min: 0, max: 12 })).map(([fromAt, ms]) => ({ fromAt, toAt: fromAt + ms }));

test("no instant of a request has more requests able to begin than it is told, and one has as many", () => {
  fc.assert(
    fc.property(fc.array(span, { minLength: 1, maxLength: 30 }), (spans) => {
      const sizes = new BatchSizes();
      spans.forEach(({ fromAt, toAt }, request) => sizes.note("stage", request, fromAt, toAt));
      spans.forEach(({ fromAt, toAt }, request) => {
        const together = Array.from(
          { length: toAt - fromAt + 1 },
          (_, i) => spans.filter((other) => other.fromAt <= fromAt + i && other.toAt >= fromAt + i).length,
        );
        expect(sizes.most("stage", request)).toBe(Math.max(...together));
      });
    }),
  );
});

test("several ways of a request count as one request over all of their time", () => {
  const sizes = new BatchSizes();
  sizes.note("stage", 1, 0, 10);
  sizes.note("stage", 1, 20, 30);
  sizes.note("stage", 2, 12, 14);
  expect([sizes.most("stage", 1), sizes.most("stage", 2)]).toEqual([2, 2]);
});

test("a way that is over before it begins is none, and other stages are others", () => {
  const sizes = new BatchSizes();
  sizes.note("stage", 1, 0, 10);
  sizes.note("stage", 2, 8, 4);
  sizes.note("other", 2, 0, 10);
  expect([sizes.most("stage", 1), sizes.most("stage", 2), sizes.most("other", 2)]).toEqual([1, 1, 1]);
});
