/** The coordinator's books: shares, use over share, debts, whatever exchanges say and in whatever order they come. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TARGET_UTILISATION } from "../../control/price.ts";
import { ACTIVE_MS, DEFAULT_SETTINGS, MAX_DEBT, Shares } from "../../control/shares.ts";
import type { ControllerExchange } from "../../protocol/fleet.ts";

const said = (user: string, over: Partial<ControllerExchange> = {}): ControllerExchange => ({
  user,
  knownEpoch: 1,
  sinceMs: 1000,
  usedMs: 0,
  demandMs: 0,
  edgeMs: 0,
  offered: 0,
  onTime: 0,
  ...over,
});

const weighted = (weights: Record<string, number>): Shares =>
  new Shares([], (user) => ({ weight: weights[user] ?? 1, quotaPerSecond: null }));

/** A minute of equal seconds. */
function minute(shares: Shares, exchanges: readonly ControllerExchange[], capacity = 1, from = 0): number {
  let now = from;
  for (let second = 0; second < 60; second++) {
    now += 1000;
    for (const each of exchanges) shares.enter(each, capacity, now);
  }
  return now;
}

describe("shares", () => {
  test("follow weights, sum to the target over active users, and an idle user's part is everybody's", () => {
    const shares = weighted({ a: 1, b: 3 });
    const alone = shares.enter(said("b"), 1, 0);
    expect(alone.share).toBeCloseTo(TARGET_UTILISATION);
    expect(shares.enter(said("a"), 1, 1).share).toBeCloseTo(TARGET_UTILISATION / 4);
    expect(shares.enter(said("a"), 1, 1 + ACTIVE_MS).share).toBeCloseTo(TARGET_UTILISATION);
    // To whoever asks, a user that is idle stands as if it came back.
    expect(shares.standing("b", 1 + ACTIVE_MS)).toMatchObject({ active: false, share: (TARGET_UTILISATION * 3) / 4 });
    expect(shares.standing("c", 0)).toBeNull();
  });

  test("whatever users do, shares of the active sum to the target and grow with weight", () => {
    const user = fc.integer({ min: 0, max: 5 }).map((n) => `u${n}`);
    const event = fc.record({ user, passMs: fc.integer({ min: -3000, max: 8000 }), usedMs: fc.nat(2000) });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const shares = weighted({ u0: 0.1, u1: 0.5, u2: 1, u3: 2, u4: 10, u5: 100 });
        let now = 100_000;
        for (const { user: name, passMs, usedMs } of events) {
          now += passMs;
          shares.enter(said(name, { sinceMs: Math.max(0, passMs), usedMs, edgeMs: usedMs, offered: 1 }), 2, now);
          const active = ["u0", "u1", "u2", "u3", "u4", "u5"].flatMap((each) => {
            const standing = shares.standing(each, now);
            return standing?.active ? [standing] : [];
          });
          expect(active.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(TARGET_UTILISATION, 6);
          for (let i = 1; i < active.length; i++) expect(active[i]!.share).toBeGreaterThan(active[i - 1]!.share);
          for (const standing of active) {
            for (const figure of [standing.nodeUse, standing.edgeUse, standing.debt]) {
              expect(figure).toBeGreaterThanOrEqual(0);
              expect(Number.isFinite(figure)).toBe(true);
            }
          }
        }
      }),
    );
  });

  test("a new weight or quota counts from the next exchange of anybody", () => {
    const shares = weighted({});
    shares.enter(said("a"), 1, 0);
    shares.enter(said("b"), 1, 0);
    shares.configure("a", { weight: 3, quotaPerSecond: 7 });
    const standing = shares.enter(said("a"), 1, 1);
    expect(standing).toMatchObject({ weight: 3, quotaPerSecond: 7 });
    expect(standing.share).toBeCloseTo(0.69);
    expect(shares.enter(said("b"), 1, 1).share).toBeCloseTo(0.23);
    // Of users who are not here there is nothing to change; they are read when they come.
    shares.configure("c", { weight: 100, quotaPerSecond: null });
    expect(shares.enter(said("c"), 1, 1).weight).toBe(1);
  });
});

describe("use", () => {
  test("of nodes is the part of the fleet's capacity over the share", () => {
    const shares = weighted({});
    minute(shares, [said("a", { usedMs: 1500 }), said("b", { usedMs: 500 })], 4);
    expect(shares.standing("a", 60_000)?.nodeUse).toBeCloseTo(1500 / 4000 / (TARGET_UTILISATION / 2), 2);
    expect(shares.standing("b", 60_000)?.nodeUse).toBeCloseTo(500 / 4000 / (TARGET_UTILISATION / 2), 2);
  });

  test("of the edge is the part of all that is used there over the part of weights: 1 for who is alone", () => {
    const shares = weighted({ b: 2 });
    expect(shares.enter(said("a", { edgeMs: 1 }), 0, 0).edgeUse).toBe(1);
    const now = minute(shares, [said("a", { edgeMs: 600 }), said("b", { edgeMs: 300 })], 0);
    expect(shares.standing("a", now)?.edgeUse).toBeCloseTo(2);
    expect(shares.standing("b", now)?.edgeUse).toBeCloseTo(0.5);
  });

  test("is the same however time is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 4000 }), { minLength: 1, maxLength: 20 }), (spans) => {
        const whole = spans.reduce((sum, ms) => sum + ms, 0);
        const [cut, once] = [weighted({}), weighted({})];
        cut.enter(said("a", { sinceMs: 0 }), 2, 0);
        once.enter(said("a", { sinceMs: 0 }), 2, 0);
        let now = 0;
        for (const ms of spans) cut.enter(said("a", { sinceMs: ms, usedMs: ms / 2, edgeMs: ms / 3 }), 2, (now += ms));
        const end = once.enter(said("a", { sinceMs: whole, usedMs: whole / 2, edgeMs: whole / 3 }), 2, whole);
        expect(cut.standing("a", whole)?.nodeUse).toBeCloseTo(end.nodeUse, 9);
      }),
    );
  });

  test("of time that nobody tells of is nothing: a controller that was lost comes back with less", () => {
    const shares = weighted({});
    const now = minute(shares, [said("a", { usedMs: 920 })]);
    const before = shares.standing("a", now)!.nodeUse;
    const back = shares.enter(said("a", { sinceMs: 0 }), 1, now + 20_000);
    expect(back.nodeUse).toBeCloseTo(before * 0.9 ** 20);
  });

  test("hardly depends on the order of exchanges within a second", () => {
    const exchanges = [1, 2, 3, 4, 5, 6].map((n) =>
      said(`u${n}`, { usedMs: n * 40, edgeMs: n * 30, offered: 10, onTime: n }),
    );
    const [forth, back] = [weighted({}), weighted({})];
    minute(forth, exchanges);
    minute(back, [...exchanges].reverse());
    for (const { user } of exchanges) {
      const [a, b] = [forth.standing(user, 60_000)!, back.standing(user, 60_000)!];
      expect(b.nodeUse).toBeCloseTo(a.nodeUse, 6);
      expect(b.edgeUse).toBeCloseTo(a.edgeUse, 6);
      expect(Math.abs(b.debt - a.debt)).toBeLessThan(10);
    }
  });
});

describe("debt", () => {
  test("is what is owed less what came on time, never below nothing, never beyond its bound", () => {
    const shares = weighted({});
    expect(shares.enter(said("a", { offered: 20, onTime: 9 }), 1, 0).debt).toBeCloseTo(10);
    expect(shares.enter(said("a", { offered: 10, onTime: 10 }), 1, 1000).debt).toBeCloseTo(9.5);
    expect(shares.enter(said("a", { onTime: 100 }), 1, 2000).debt).toBe(0);
    expect(shares.enter(said("a", { offered: 1e9 }), 1, 3000).debt).toBe(MAX_DEBT);
  });
});

describe("memory", () => {
  test("holds so many users; the longest idle are forgotten first", () => {
    const shares = new Shares([], () => DEFAULT_SETTINGS, 3);
    ["a", "b", "c"].forEach((user, i) => shares.enter(said(user), 1, i * 100));
    shares.enter(said("a"), 1, 400);
    shares.enter(said("d"), 1, 500);
    expect(shares.size).toBe(3);
    expect(shares.standing("b", 500)).toBeNull();
    expect(shares.standing("a", 500)?.share).toBeCloseTo(TARGET_UTILISATION / 3);
    // Among idle users as well, one at a time.
    shares.enter(said("e"), 1, 500 + ACTIVE_MS + 1);
    expect(["c", "a", "d", "e"].map((user) => shares.standing(user, 0) !== null)).toEqual([false, true, true, true]);
    // What was stored may be in any order, and more than there is room for.
    const books = ["x", "z", "y"].map((user) => ({
      user,
      seenAt: { x: 3, y: 2, z: 1 }[user]!,
      use: 0,
      edge: 0,
      debt: 0,
    }));
    const restored = new Shares(books, () => DEFAULT_SETTINGS, 2);
    restored.enter(said("new"), 1, 10);
    expect(["x", "y", "z"].map((user) => restored.standing(user, 10) !== null)).toEqual([true, false, false]);
  });

  test("comes back from what was stored, who is active included", () => {
    const shares = weighted({});
    const now = minute(shares, [
      said("a", { usedMs: 600, edgeMs: 10, offered: 5, onTime: 4 }),
      said("b", { usedMs: 50 }),
    ]);
    const restored = new Shares(JSON.parse(JSON.stringify(shares.books())) as ReturnType<Shares["books"]>);
    for (const user of ["a", "b"]) {
      const [before, after] = [shares.standing(user, now + 1)!, restored.standing(user, now + 1)!];
      expect(after.active).toBe(true);
      expect(after.share).toBeCloseTo(before.share);
      expect(after.nodeUse).toBeCloseTo(before.nodeUse, 4);
      expect(after.edgeUse).toBeCloseTo(before.edgeUse, 4);
      expect(after.debt).toBeCloseTo(before.debt, 4);
    }
    const later = new Shares(shares.books());
    expect(later.standing("a", now + ACTIVE_MS + 1)?.active).toBe(false);
  });

  test("a clock that is set back keeps nobody active for longer", () => {
    const shares = weighted({});
    shares.enter(said("a"), 1, 3_600_000);
    shares.enter(said("b"), 1, 0);
    expect(shares.enter(said("b"), 1, ACTIVE_MS + 1).share).toBeCloseTo(TARGET_UTILISATION);
    const restored = new Shares([{ user: "a", seenAt: 3_600_000, use: 1, edge: 0, debt: 0 }]);
    restored.enter(said("b"), 1, 0);
    expect(restored.enter(said("b"), 1, ACTIVE_MS + 1).share).toBeCloseTo(TARGET_UTILISATION);
  });

  test("figures that are none count as nothing", () => {
    const shares = weighted({});
    const wild = said("a", { sinceMs: Number.NaN, usedMs: -5, edgeMs: Number.POSITIVE_INFINITY, offered: Number.NaN });
    expect(shares.enter(wild, 0, 0)).toMatchObject({ nodeUse: 0, edgeUse: 1, debt: 0 });
  });
});
