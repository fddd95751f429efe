import fc from "fast-check";
import { expect, test } from "vitest";
import { AccessLink, LTE, WIFI, type AccessSpec } from "../../bench/simulator/access.ts";
import { EventQueue } from "../../bench/simulator/event-queue.ts";

const UNTIL_MS = 400_000;
/** 8 Mbit/s: a kibibyte takes 1.024 ms. */
const STEADY: AccessSpec = { logMean: Math.log(8), logDeviation: 0, lag: 0, mbitPerS: [1, 100], rttMs: 10, jitter: 0 };

test("one thing is sent after the other, and arrives half a round trip after its last byte", () => {
  const events = new EventQueue();
  const link = new AccessLink(events, 1, "u", STEADY, UNTIL_MS);
  const arrived: number[] = [];
  expect(link.up(1, 10_000, () => arrived.push(events.now))).toBe(0);
  expect(link.up(2, 5000, () => arrived.push(events.now))).toBeCloseTo(10, 6);
  expect(link.pending).toBe(15_000);
  events.run(12);
  expect(link.pending).toBe(5000);
  events.run(100);
  expect(link.pending).toBe(0);
  expect(arrived.map((at) => Math.round(1e6 * at) / 1e6)).toEqual([15, 20]);
  expect(link.bytes).toBe(15_000);
});

test("capacity and its inverse agree at every instant", () => {
  const link = new AccessLink(
    new EventQueue(),
    3,
    "u",
    { ...LTE, collapse: { share: 0.1, meanGoodMs: 3000, meanBadMs: 2000 } },
    60_000,
  );
  fc.assert(
    fc.property(fc.double({ min: 0, max: 90_000, noNaN: true }), (at) => {
      expect(link.timeOf(link.capacity(at))).toBeCloseTo(at, 6);
    }),
  );
});

test.each([
  ["LTE", LTE, 15.2, 5.3],
  ["WiFi", WIFI, 51.9, 16.8],
])("%s has about the mean and spread of the series it stands for", (_, spec, mean, deviation) => {
  const link = new AccessLink(new EventQueue(), 5, "u", spec, UNTIL_MS);
  const rates = Array.from(
    { length: 400 },
    (__, i) => (link.capacity(1000 * (i + 1)) - link.capacity(1000 * i)) / 1000,
  );
  const average = rates.reduce((a, b) => a + b, 0) / rates.length;
  const spread = Math.sqrt(rates.reduce((sum, rate) => sum + (rate - average) ** 2, 0) / rates.length);
  expect(Math.abs(average - mean) / mean).toBeLessThan(0.15);
  expect(Math.abs(spread - deviation) / deviation).toBeLessThan(0.35);
  expect(Math.min(...rates)).toBeGreaterThanOrEqual(spec.mbitPerS[0]);
  expect(Math.max(...rates)).toBeLessThanOrEqual(spec.mbitPerS[1] + 1e-9);
  expect(link.meanRate).toBeCloseTo(average, 0);
});

test("a collapse takes bandwidth away now and then", () => {
  const whole = new AccessLink(new EventQueue(), 5, "u", STEADY, UNTIL_MS);
  const collapsing = { ...STEADY, collapse: { share: 0.1, meanGoodMs: 6000, meanBadMs: 2000 } };
  const broken = new AccessLink(new EventQueue(), 5, "u", collapsing, UNTIL_MS);
  const share = broken.meanRate / whole.meanRate;
  expect(share).toBeGreaterThan(0.65);
  expect(share).toBeLessThan(0.9);
});
