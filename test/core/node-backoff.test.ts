import fc from "fast-check";
import { expect, test } from "vitest";
import { reconnectDelayMs, retryHintMs } from "../../nodes/backoff.ts";

test("full jitter: anywhere between the hint and the hint plus a bound that doubles and then stays", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.nat(5000),
      (attempt, random, hint) => {
        const wait = reconnectDelayMs(attempt, random, hint);
        expect(wait).toBeGreaterThanOrEqual(hint);
        expect(wait).toBeLessThanOrEqual(hint + 15_000);
      },
    ),
  );
  expect([1, 2, 3].map((attempt) => reconnectDelayMs(attempt, 1))).toEqual([250, 500, 1000]);
});

test.each([
  ["busy; retry_after_ms=1500", undefined, 1500],
  ["", "2", 2000],
  ["retry_after_ms=999999999", undefined, 300_000],
  ["retry_after_ms=-5", undefined, 0],
  ["bye", "tomorrow", 0],
  ["bye", undefined, 0],
])("the hint in %j and %j is %i ms", (reason, header, ms) => {
  expect(retryHintMs(reason, header)).toBe(ms);
});
