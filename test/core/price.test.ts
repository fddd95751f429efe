import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  aged,
  boundsOf,
  DEADBAND,
  edgeBounds,
  nodeBounds,
  PRICE_WINDOW_MS,
  PriceLoop,
  TARGET_UTILISATION,
} from "../../control/price.ts";
import { registration } from "./node-fixture.ts";
import { tiny } from "./tiny.ts";

/** The ladder of CONTROL's simulation: a slimmable network of 8 ms at full width. */
const LADDER = [
  { ms: 0.54, accuracy: 0.65 },
  { ms: 2.14, accuracy: 0.721 },
  { ms: 4.49, accuracy: 0.749 },
  { ms: 8, accuracy: 0.76 },
];
const BOUNDS = boundsOf([LADDER]);

const ladders = fc.array(
  fc
    .array(
      fc.record({
        ms: fc.double({ min: 0.01, max: 50, noNaN: true }),
        accuracy: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      {
        maxLength: 6,
      },
    )
    .map((ladder) => ladder.sort((a, b) => a.ms - b.ms)),
  { maxLength: 4 },
);
/** Work offered at instants that rise by up to some windows. */
const offers = fc.array(
  fc.record({ afterMs: fc.integer({ min: 0, max: 350 }), ms: fc.double({ min: 0, max: 400, noNaN: true }) }),
  { maxLength: 60, size: "max" },
);

describe("bounds", () => {
  test("the steepest gain between successive rungs, and a quarter more", () => {
    expect(BOUNDS.fullRunMs).toBe(8);
    expect(BOUNDS.maxPrice).toBeCloseTo((1.25 * 0.071) / 1.6, 6);
  });

  test("rungs that gain nothing and steps within the profile's noise do not count", () => {
    const noisy = [
      LADDER[0],
      { ms: 0.55, accuracy: 0.6 },
      ...LADDER.slice(1),
      { ms: 9, accuracy: 0.75 },
    ] as typeof LADDER;
    expect(boundsOf([noisy]).maxPrice).toBeCloseTo(BOUNDS.maxPrice, 6);
    const equal = [
      { ms: 5, accuracy: 0.5 },
      { ms: 5.0001, accuracy: 0.6 },
      { ms: 10, accuracy: 0.61 },
    ];
    expect(boundsOf([equal]).maxPrice).toBeCloseTo(1.25 * 0.1, 6);
  });

  test("one rung alone counts from nothing; no ladder, no price", () => {
    expect(boundsOf([[{ ms: 4, accuracy: 0.8 }]])).toEqual({ fullRunMs: 4, maxPrice: 0.25 });
    expect(boundsOf([])).toEqual({ fullRunMs: 1, maxPrice: 0 });
    expect(boundsOf([[]])).toEqual({ fullRunMs: 1, maxPrice: 0 });
  });

  test("of a node by its profiles, of the edge by the reference times of what runs there", () => {
    expect(nodeBounds(registration()).fullRunMs).toBe(20);
    expect(nodeBounds(registration()).maxPrice).toBeCloseTo((1.25 * 0.1) / 3, 6);
    const { fullRunMs, maxPrice } = edgeBounds([tiny]);
    expect(fullRunMs).toBeGreaterThan(0);
    expect(maxPrice).toBeGreaterThan(0);
  });

  test("always finite, never negative", () => {
    fc.assert(
      fc.property(ladders, (many) => {
        const { fullRunMs, maxPrice } = boundsOf(many);
        expect(Number.isFinite(maxPrice) && maxPrice >= 0 && Number.isFinite(fullRunMs) && fullRunMs > 0).toBe(true);
      }),
    );
  });
});

describe("the loop", () => {
  test("stays within its bounds whatever is offered, and whatever the clock does", () => {
    fc.assert(
      fc.property(ladders, offers, fc.integer({ min: 1, max: 8 }), (many, list, capacity) => {
        const bounds = boundsOf(many);
        const loop = new PriceLoop(capacity, bounds);
        let now = 0;
        for (const [i, { afterMs, ms }] of list.entries()) {
          loop.offer(ms, (now += i % 7 === 6 ? -afterMs : afterMs));
          const price = loop.price(now);
          expect(price).toBeGreaterThanOrEqual(0);
          expect(price).toBeLessThanOrEqual(bounds.maxPrice);
        }
      }),
    );
  });

  test("falls to nothing when idle", () => {
    fc.assert(
      fc.property(offers, (list) => {
        const loop = new PriceLoop(1, BOUNDS);
        let now = 0;
        for (const { afterMs, ms } of list) loop.offer(ms, (now += afterMs));
        expect(loop.price(now + 10_000)).toBe(0);
      }),
    );
  });

  test("does not depend on when it is asked: windows applied at once are windows applied one by one", () => {
    fc.assert(
      fc.property(offers, (list) => {
        const lazy = new PriceLoop(2, BOUNDS);
        const eager = new PriceLoop(2, BOUNDS);
        let now = 0;
        for (const { afterMs, ms } of list) {
          const at = now + afterMs;
          for (let t = now; t <= at; t += 10) eager.price(t);
          now = at;
          lazy.offer(ms, now);
          eager.offer(ms, now);
        }
        expect(lazy.price(now + 777)).toBeCloseTo(eager.price(now + 777), 12);
      }),
    );
  });

  test("more offered never makes it lower", () => {
    fc.assert(
      fc.property(offers, fc.double({ min: 1, max: 5, noNaN: true }), (list, factor) => {
        const less = new PriceLoop(1, BOUNDS);
        const more = new PriceLoop(1, BOUNDS);
        let now = 0;
        for (const { afterMs, ms } of list) {
          now += afterMs;
          less.offer(ms, now);
          more.offer(ms * factor, now);
          expect(more.price(now)).toBeGreaterThanOrEqual(less.price(now) - 1e-12);
        }
      }),
    );
  });

  test("around the target nothing moves, and a node's several lanes are its capacity", () => {
    const loop = new PriceLoop(4, BOUNDS);
    const offerFor = (utilisation: number, from: number) => {
      for (let i = 0; i < 20; i++) loop.offer(utilisation * 4 * PRICE_WINDOW_MS, from + i * PRICE_WINDOW_MS);
      return loop.price(from + 20 * PRICE_WINDOW_MS);
    };
    expect(offerFor(TARGET_UTILISATION + DEADBAND - 1e-6, 0)).toBe(0);
    const up = offerFor(TARGET_UTILISATION + 2 * DEADBAND, 2000);
    expect(up).toBeGreaterThan(0);
    expect(offerFor(TARGET_UTILISATION - DEADBAND + 1e-6, 4000)).toBe(up);
  });
});

/**
 * Users who each want the rung of the ladder that is worth most at the price they saw last, an input's gains being what
 * the ladder says times how hard it is. Returns what is offered per window over capacity, window by window.
 */
function crowd(
  requestsPerWindow: (window: number) => number,
  windows: number,
): { utilisation: number; price: number }[] {
  const loop = new PriceLoop(1, BOUNDS);
  const trace: { utilisation: number; price: number }[] = [];
  let counter = 0;
  for (let window = 0; window < windows; window++) {
    const from = window * PRICE_WINDOW_MS;
    const count = requestsPerWindow(window);
    let offered = 0;
    for (let i = 0; i < count; i++) {
      const now = from + (i * PRICE_WINDOW_MS) / count;
      const price = loop.price(now);
      // A low-discrepancy sequence: every window sees inputs of every hardness.
      const hardness = 0.2 + ((counter++ * 0.618_034) % 1);
      const worth = ({ ms, accuracy }: { ms: number; accuracy: number }) => hardness * accuracy - price * ms;
      const { ms } = LADDER.reduce((best, rung) => (worth(rung) > worth(best) ? rung : best));
      loop.offer(ms, now);
      offered += ms;
    }
    trace.push({ utilisation: offered / PRICE_WINDOW_MS, price: loop.price(from + PRICE_WINDOW_MS) });
  }
  return trace;
}

test.each([2, 4, 8, 12])(
  "a step of load to %i × what the machine can do settles within 2 s and does not oscillate",
  (times) => {
    const full = (times * PRICE_WINDOW_MS) / 8;
    const trace = crowd((window) => (window < 10 ? 5 : full), 100);
    const settled = trace.slice(10 + 20);
    const mean = (of: (entry: { utilisation: number; price: number }) => number) =>
      settled.reduce((sum, entry) => sum + of(entry), 0) / settled.length;
    expect(mean(({ utilisation }) => utilisation)).toBeGreaterThan(TARGET_UTILISATION - 0.06);
    expect(mean(({ utilisation }) => utilisation)).toBeLessThan(TARGET_UTILISATION + 0.06);
    const prices = settled.map(({ price }) => price);
    // Ripple of one window's noise around a level, not a swing between extremes.
    expect(Math.max(...prices) - Math.min(...prices)).toBeLessThan(0.1 * BOUNDS.maxPrice);
  },
);

describe("ageing", () => {
  test("believed for a second, then doubled each second up to the bound; nothing becomes something", () => {
    const price = BOUNDS.maxPrice / 5;
    expect([0, 1000].map((age) => aged(price, age, BOUNDS))).toEqual([price, price]);
    expect(aged(price, 1001, BOUNDS)).toBeCloseTo(2 * price, 9);
    expect(aged(price, 2500, BOUNDS)).toBeCloseTo(4 * price, 9);
    expect(aged(price, 60_000, BOUNDS)).toBe(BOUNDS.maxPrice);
    expect(aged(0, 500, BOUNDS)).toBe(0);
    expect(aged(0, 1500, BOUNDS)).toBeCloseTo((2 * 0.05) / 8, 9);
  });

  test("older is never cheaper, nor is a higher price", () => {
    const price = fc.double({ min: 0, max: 1, noNaN: true });
    const age = fc.double({ min: 0, max: 1e7, noNaN: true });
    fc.assert(
      fc.property(price, price, age, age, (p, q, a, b) => {
        expect(aged(p, Math.max(a, b), BOUNDS)).toBeGreaterThanOrEqual(aged(p, Math.min(a, b), BOUNDS));
        expect(aged(Math.max(p, q), a, BOUNDS)).toBeGreaterThanOrEqual(aged(Math.min(p, q), a, BOUNDS));
      }),
    );
  });
});
