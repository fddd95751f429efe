import fc from "fast-check";
import { expect, test } from "vitest";
import { deeperDueAt, deeperFitsMs } from "../../control/patience.ts";
import { RunQueue } from "../../control/run-queue.ts";

const ms = (min: number, max: number) => fc.double({ min, max, noNaN: true });

test("on an idle machine deeper work has all the time there is", () => {
  fc.assert(
    fc.property(ms(1, 500), ms(0.1, 500), (dueMs, workMs) => {
      const queue = new RunQueue(10);
      const deadlineAt = deeperDueAt(dueMs, workMs, 0);
      expect(queue.admits({ id: "a", deadlineAt, workMs }, 0)).toBe(workMs <= dueMs);
      expect(deeperFitsMs(dueMs, 0, 0)).toBe(dueMs);
    }),
  );
});

test("behind others it is let in only where it waits a quarter of what it could, and is never due later", () => {
  fc.assert(
    fc.property(ms(1, 500), ms(0.1, 500), ms(0, 500), (dueMs, workMs, aheadMs) => {
      const queue = new RunQueue<{ id: string; deadlineAt: number; workMs: number }>(10);
      queue.insert({ id: "ahead", deadlineAt: 0, workMs: aheadMs });
      const deadlineAt = deeperDueAt(dueMs, workMs, 0);
      expect(deadlineAt).toBeLessThanOrEqual(dueMs);
      const waits = aheadMs <= 0.25 * (dueMs - workMs) - 1e-6;
      const refused = aheadMs > 0.25 * Math.max(0, dueMs - workMs) + 1e-6;
      if (waits) expect(queue.admits({ id: "a", deadlineAt, workMs }, 0)).toBe(true);
      if (refused) expect(queue.admits({ id: "a", deadlineAt, workMs }, 0)).toBe(false);
      if (waits) expect(workMs).toBeLessThanOrEqual(deeperFitsMs(dueMs, aheadMs, 0) + 1e-6);
    }),
  );
});
