import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FairShare, type WaitingWork } from "../../control/fair-share.ts";
import { RunQueue, type QueuedWork } from "../../control/run-queue.ts";
import type { Claim } from "../../protocol/fleet.ts";

const claim = (user: string, over: Partial<Claim> = {}): Claim => ({ user, weight: 1, priority: "normal", ...over });
const waiting = (id: string, user: string, over: Partial<WaitingWork> = {}): WaitingWork => ({
  id,
  claim: claim(user),
  workMs: 10,
  ...over,
});
/** Fits once so many are gone. */
const afterGone =
  (count: number) =>
  (without: ReadonlySet<string>): boolean =>
    without.size >= count;

describe("the books", () => {
  test("use fades with time and counts less for more weight; what was not done is given back", () => {
    const shares = new FairShare();
    shares.charge(claim("a", { weight: 2 }), 100, 0);
    expect(shares.use("a", 0)).toBe(50);
    expect(shares.use("a", 1000)).toBeCloseTo(50 / Math.E, 9);
    shares.charge(claim("a"), 30, 1000);
    shares.refund(claim("a", { weight: 2 }), 100, 0, 2000);
    expect(shares.use("a", 2000)).toBeCloseTo(30 / Math.E, 9);
    expect(shares.use("nobody", 0)).toBe(0);
  });

  test("a steady share f of a machine stands at about 1000 · f", () => {
    const shares = new FairShare();
    for (let now = 0; now < 10_000; now += 20) shares.charge(claim("a"), 5, now);
    expect(shares.use("a", 10_000)).toBeGreaterThan(240);
    expect(shares.use("a", 10_000)).toBeLessThan(260);
  });

  test("bounded in users; who used most is remembered", () => {
    const shares = new FairShare(100);
    shares.charge(claim("greedy"), 10_000, 0);
    for (let i = 0; i < 5000; i++) {
      shares.charge(claim(`u${i}`), 5, i);
      expect(shares.size).toBeLessThanOrEqual(100);
    }
    expect(shares.use("greedy", 5000)).toBeGreaterThan(50);
  });
});

describe("who makes room", () => {
  function books(use: Record<string, number>): FairShare {
    const shares = new FairShare();
    for (const [user, ms] of Object.entries(use)) shares.charge(claim(user), ms, 0);
    return shares;
  }

  test("only work of users clearly above the newcomer, as little as is needed", () => {
    const shares = books({ greedy: 200, near: 12, light: 0 });
    const queue = [waiting("n", "near"), waiting("g1", "greedy"), waiting("g2", "greedy"), waiting("own", "light")];
    expect(shares.evictable(claim("light"), 10, queue, 0, afterGone(1))).toEqual(["g1"]);
    expect(shares.evictable(claim("light"), 10, queue, 0, afterGone(2))).toEqual(["g1", "g2"]);
    expect(shares.evictable(claim("light"), 10, queue, 0, afterGone(3))).toEqual([]);
    expect(shares.evictable(claim("greedy"), 10, queue, 0, afterGone(1))).toEqual([]);
    // Nor near equality, where taking from one to give to the other would only start a quarrel.
    expect(shares.evictable(claim("near"), 10, queue.slice(3), 0, afterGone(1))).toEqual([]);
  });

  test("above is not enough, it must be clearly above", () => {
    const queue = [waiting("x", "other", { workMs: 1 })];
    // The newcomer would stand at 20.
    expect(books({ other: 29, newcomer: 10 }).evictable(claim("newcomer"), 10, queue, 0, afterGone(1))).toEqual([]);
    expect(books({ other: 31, newcomer: 10 }).evictable(claim("newcomer"), 10, queue, 0, afterGone(1))).toEqual(["x"]);
  });

  test("low priority first, high last, then who used most, then the largest", () => {
    const shares = books({ most: 900, much: 800 });
    const queue = [
      waiting("high", "most", { claim: claim("most", { priority: "high" }) }),
      waiting("much", "much"),
      waiting("small", "most"),
      waiting("large", "most", { workMs: 20 }),
      waiting("low", "much", { claim: claim("much", { priority: "low" }) }),
    ];
    const inOrder = [1, 2, 3, 4, 5].map((count) =>
      shares.evictable(claim("new"), 1, queue, 0, afterGone(count)).at(-1),
    );
    expect(inOrder).toEqual(["low", "large", "small", "much", "high"]);
  });

  test("what turned out not to help is spared", () => {
    const shares = books({ greedy: 900 });
    const queue = [waiting("a", "greedy", { workMs: 30 }), waiting("b", "greedy", { workMs: 20 })];
    expect(shares.evictable(claim("new"), 1, queue, 0, (without) => without.has("b"))).toEqual(["b"]);
  });

  test("one newcomer never costs more than a few others their place", () => {
    const shares = books({ greedy: 10_000 });
    const queue = Array.from({ length: 50 }, (_, i) => waiting(`${i}`, "greedy", { workMs: 1 }));
    expect(shares.evictable(claim("new"), 1, queue, 0, afterGone(8))).toHaveLength(8);
    expect(shares.evictable(claim("new"), 1, queue, 0, afterGone(9))).toEqual([]);
  });
});

test("nobody below the newcomer loses work, and nobody is pushed below where the newcomer will stand", () => {
  const user = fc.constantFrom("a", "b", "c", "d");
  const weight = fc.constantFrom(0.5, 1, 4);
  const piece = fc.record({
    user,
    workMs: fc.integer({ min: 1, max: 40 }),
    deadlineAt: fc.integer({ min: 1, max: 200 }),
  });
  let evictions = 0;
  fc.assert(
    fc.property(
      fc.array(fc.record({ user, ms: fc.integer({ min: 0, max: 400 }), at: fc.integer({ min: 0, max: 2000 }) })),
      fc.dictionary(user, weight),
      fc.array(piece, { maxLength: 20 }),
      piece,
      (charges, weights, pieces, next) => {
        const of = (name: string): Claim => claim(name, { weight: weights[name] ?? 1 });
        const shares = new FairShare();
        for (const { user: name, ms, at } of charges.sort((x, y) => x.at - y.at)) shares.charge(of(name), ms, at);
        const now = 2000;
        type Piece = QueuedWork & WaitingWork;
        const queue = new RunQueue<Piece>(1000);
        pieces.forEach(({ user: name, ...work }, i) =>
          queue.insert({ id: `${i}`, claim: of(name), ...work, deadlineAt: now + work.deadlineAt }),
        );
        const work = { id: "next", workMs: next.workMs, deadlineAt: now + next.deadlineAt };
        const evicted = shares.evictable(of(next.user), work.workMs, queue.waiting, now, (without) =>
          queue.admits(work, now, without),
        );
        if (evicted.length === 0) return;
        evictions++;
        const newcomer = shares.use(next.user, now) + work.workMs / of(next.user).weight;
        const taken = new Map<string, number>();
        for (const id of evicted) {
          const victim = queue.remove(id);
          if (!victim) throw new Error(`${id} does not wait`);
          taken.set(victim.claim.user, (taken.get(victim.claim.user) ?? 0) + victim.workMs / victim.claim.weight);
        }
        expect(taken.has(next.user)).toBe(false);
        for (const [name, ms] of taken) expect(shares.use(name, now) - ms).toBeGreaterThanOrEqual(newcomer - 1e-9);
        expect(queue.admits(work, now)).toBe(true);
      },
    ),
    { numRuns: 2000 },
  );
  expect(evictions).toBeGreaterThan(20);
});

test("under a flood each light user is served like an equal, whatever the greedy one sends", () => {
  const shares = new FairShare();
  const served = new Map<string, number>();
  type Piece = QueuedWork & WaitingWork;
  const queue = new RunQueue<Piece>(1000);
  let evictions = 0;
  let lost = 0;
  let busyUntil = 0;
  let id = 0;
  const offer = (user: string, now: number): void => {
    const piece: Piece = { id: `${id++}`, claim: claim(user), workMs: 8, deadlineAt: now + 60 };
    let admitted = queue.admits(piece, now);
    if (!admitted) {
      const evicted = shares.evictable(piece.claim, 8, queue.waiting, now, (without) =>
        queue.admits(piece, now, without),
      );
      for (const victim of evicted) {
        const gone = queue.remove(victim);
        if (gone?.claim.user !== "greedy") lost++;
        if (gone) shares.refund(gone.claim, gone.workMs, gone.deadlineAt - 60, now);
        evictions++;
      }
      admitted = evicted.length > 0;
    }
    if (!admitted) return;
    queue.insert(piece);
    shares.charge(piece.claim, 8, now);
  };
  for (let now = 0; now < 20_000; now++) {
    // Seven light users of 1/16 of the machine each; the greedy one alone asks for twice of what it can do.
    if (now % 4 === 0) offer("greedy", now);
    if (now % 128 < 7) offer(`light ${now % 128}`, now);
    if (now >= busyUntil) {
      const piece = queue.takeFirst();
      if (!piece) continue;
      busyUntil = now + 8;
      queue.occupy(now, 8);
      served.set(piece.claim.user, (served.get(piece.claim.user) ?? 0) + 1);
    }
  }
  const asked = 20_000 / 128;
  for (let i = 0; i < 7; i++) expect((served.get(`light ${i}`) ?? 0) / asked).toBeGreaterThan(0.97);
  expect(evictions).toBeGreaterThan(100);
  expect(lost).toBe(0);
});
