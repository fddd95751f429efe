import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FRESH_UPPER, Slowdown } from "../../control/slowdown.ts";

/** Feeds `ratios` of a run of 20 ms, `everyMs` apart; returns the time after the last. */
function feed(slowdown: Slowdown, ratios: readonly number[], from = 0, everyMs = 100): number {
  ratios.forEach((ratio, i) => slowdown.sample(20 * ratio, 20, from + i * everyMs));
  return from + ratios.length * everyMs;
}
const times = (ratio: number, count: number): number[] => new Array<number>(count).fill(ratio);
/** Ratios around `middle`, spread like a bell, the same at every run. */
const noisy = (middle: number, deviation: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => {
    const u = (((i + 1) * 0.618_034) % 1) * 0.998 + 0.001;
    return middle + deviation * 1.702 ** -1 * Math.log(u / (1 - u));
  });

describe("before anything was measured", () => {
  test("it is the profile, with an upper end of 1.3 to 1.6", () => {
    const { mean } = new Slowdown();
    expect(mean).toBe(1);
    expect(FRESH_UPPER).toBe(new Slowdown().upper(0));
    expect(FRESH_UPPER).toBeGreaterThan(1.3);
    expect(FRESH_UPPER).toBeLessThan(1.6);
  });

  test.each([
    [0, 5],
    [5, 0],
    [Number.NaN, 5],
    [-1, 5],
  ])("a sample of %d ms for %d ms says nothing", (took, profile) => {
    const slowdown = new Slowdown();
    slowdown.sample(took, profile, 0);
    expect([slowdown.mean, slowdown.upper(0)]).toEqual([1, FRESH_UPPER]);
  });
});

describe("the mean", () => {
  test("a rise is believed at the second sample, a fall at the fourth", () => {
    const slowdown = new Slowdown();
    let now = feed(slowdown, times(1, 30));
    now = feed(slowdown, [3], now);
    expect(slowdown.mean).toBeLessThan(1.5);
    now = feed(slowdown, [3], now);
    expect(slowdown.mean).toBeGreaterThan(2.5);
    now = feed(slowdown, times(3, 30), now);
    expect(slowdown.mean).toBeCloseTo(3, 1);
    now = feed(slowdown, times(1, 3), now);
    expect(slowdown.mean).toBeGreaterThan(2);
    now = feed(slowdown, [1], now);
    expect(slowdown.mean).toBeLessThan(1.3);
    feed(slowdown, times(1, 30), now);
    expect(slowdown.mean).toBeCloseTo(1, 1);
  });

  test("one outlier, however wild, moves it by no more than the spread allows", () => {
    const slowdown = new Slowdown();
    const now = feed(slowdown, noisy(1, 0.1, 60));
    const before = slowdown.mean;
    feed(slowdown, [1000], now);
    expect(slowdown.mean - before).toBeLessThan(0.3);
  });

  test("a tiny run says little: most of its time is not its own", () => {
    const small = new Slowdown();
    const large = new Slowdown();
    small.sample(0.2, 0.1, 0);
    large.sample(40, 20, 0);
    expect(small.mean - 1).toBeLessThan((large.mean - 1) / 4);
  });
});

describe("the upper end", () => {
  test("is about the 95th percentile of what is measured", () => {
    const slowdown = new Slowdown();
    const ratios = noisy(1.5, 0.2, 400);
    const now = feed(slowdown, ratios);
    const exceeded = ratios.slice(-200).filter((ratio) => ratio > slowdown.upper(now)).length / 200;
    expect(exceeded).toBeLessThan(0.1);
    expect(slowdown.upper(now)).toBeLessThan(2.2);
  });

  test("closes in on exact times, one outlier leaves it, two keep it up for 30 seconds and no longer", () => {
    const slowdown = new Slowdown();
    let now = feed(slowdown, times(1, 200));
    expect(slowdown.upper(now)).toBeLessThan(1.1);
    now = feed(slowdown, [5], now);
    expect(slowdown.upper(now)).toBeLessThan(1.6);
    now = feed(slowdown, [...times(1, 3), 5, 5], now);
    now = feed(slowdown, times(1, 20), now);
    expect(slowdown.upper(now)).toBeGreaterThan(4);
    expect(slowdown.upper(now + 40_000)).toBeLessThan(4);
  });
});

test("whatever is measured, both stay between 1/16 and 16, and the upper end is never below the mean", () => {
  const sample = fc.record({
    took: fc.double({ min: 0, max: 1e6, noNaN: true }),
    profile: fc.double({ min: 0, max: 1e3, noNaN: true }),
    afterMs: fc.integer({ min: 0, max: 60_000 }),
  });
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 60, size: "max" }), (samples) => {
      const slowdown = new Slowdown();
      let now = 0;
      for (const { took, profile, afterMs } of samples) {
        slowdown.sample(took, profile, (now += afterMs));
        expect(slowdown.mean).toBeGreaterThanOrEqual(1 / 16);
        expect(slowdown.mean).toBeLessThanOrEqual(16);
        expect(slowdown.upper(now)).toBeGreaterThanOrEqual(slowdown.mean);
        expect(slowdown.upper(now)).toBeLessThanOrEqual(16);
      }
      slowdown.reset();
      expect([slowdown.mean, slowdown.upper(now)]).toEqual([1, FRESH_UPPER]);
    }),
  );
});
