import fc from "fast-check";
import { expect, test } from "vitest";
import { DEEPER_WAITS, deeperDueAt, deeperFitsMs, waitsFor } from "../../control/patience.ts";
import { RunQueue } from "../../control/run-queue.ts";

// Whole numbers, which are drawn evenly: of doubles most would be next to nothing.
const ms = fc.integer({ min: 1, max: 500 });
/** What is computed with a part of the time is exact to about this. */
const EXACT_MS = 1e-6;

/** Does a queue with `aheadMs` in it let in work as deep work is tested? */
function lets(workMs: number, dueMs: number, aheadMs: number): boolean {
  const queue = new RunQueue<{ id: string; deadlineAt: number; workMs: number }>(10);
  if (aheadMs > 0) queue.insert({ id: "ahead", deadlineAt: 0, workMs: aheadMs });
  return queue.admits({ id: "a", deadlineAt: deeperDueAt(dueMs, workMs, 0, DEEPER_WAITS), workMs }, 0);
}

test("on an idle machine deeper work has all the time there is", () => {
  fc.assert(
    fc.property(ms, ms, (dueMs, workMs) => {
      expect(lets(workMs - EXACT_MS, dueMs, 0)).toBe(workMs <= dueMs);
      expect(deeperFitsMs(dueMs, 0, 0)).toBe(dueMs);
    }),
  );
});

test("behind others it is let in only where it waits its part of what it could, and is never due later", () => {
  fc.assert(
    fc.property(ms, ms, fc.integer({ min: 0, max: 1500 }), (slackMs, workMs, perMille) => {
      const dueMs = workMs + slackMs;
      const aheadMs = (perMille / 1000) * slackMs;
      expect(deeperDueAt(dueMs, workMs, 0, DEEPER_WAITS)).toBeLessThanOrEqual(dueMs);
      const spareMs = DEEPER_WAITS * slackMs - aheadMs;
      fc.pre(Math.abs(spareMs) > EXACT_MS);
      expect(lets(workMs, dueMs, aheadMs)).toBe(spareMs > 0);
      expect(workMs <= deeperFitsMs(dueMs, aheadMs, 0)).toBe(spareMs > 0);
    }),
  );
});

test("what would be late with nobody before it stays late", () => {
  fc.assert(
    fc.property(ms, ms, (dueMs, moreMs) => {
      expect(deeperDueAt(dueMs, dueMs + moreMs, 0, DEEPER_WAITS)).toBe(dueMs);
    }),
  );
});

test("deeper work may wait the longer the more it gains for its time: never less than any, never more than the least answer", () => {
  const quality = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(ms, quality, ms, quality, ms, (leastMs, leastQuality, moreMs, deeperQuality, evenMoreMs) => {
      const least = { medianMs: leastMs, quality: leastQuality };
      const waits = waitsFor({ medianMs: leastMs + moreMs, quality: deeperQuality }, least);
      expect(waits).toBeGreaterThanOrEqual(DEEPER_WAITS);
      expect(waits).toBeLessThanOrEqual(1);
      const slower = waitsFor({ medianMs: leastMs + moreMs + evenMoreMs, quality: deeperQuality }, least);
      expect(slower).toBeLessThanOrEqual(waits);
      if (deeperQuality <= leastQuality) expect(waits).toBe(DEEPER_WAITS);
    }),
  );
});

test("two more milliseconds for half as much again wait like the least answer; five times its time for a few points do not", () => {
  const least = { medianMs: 3.4, quality: 0.53 };
  expect(waitsFor({ medianMs: 5.4, quality: 0.78 }, least)).toBe(1);
  expect(waitsFor({ medianMs: 17, quality: 0.56 }, least)).toBeLessThan(1.2 * DEEPER_WAITS);
});
