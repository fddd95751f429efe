/** How full a front's thread is, what its time is worth, and who is let in. */
import { describe, expect, test, vi } from "vitest";
import { FrontLoad } from "../../control/front-load.ts";
import { edgeBounds } from "../../control/price.ts";
import { admit, enter, threadPrice } from "../../functions/api/front.ts";
import { SystemClock } from "../../protocol/clock.ts";
import { ladder } from "../support/ladder.ts";

/** A front whose last two passes took `passMs` for so many requests, at the instant it returns. */
function frontWith(passMs: number, requests = 10, deadlineMs = 100): { front: FrontLoad; now: number } {
  const front = new FrontLoad();
  const now = 1000;
  passes(front, now - 2 * passMs, passMs, requests, 2, deadlineMs);
  return { front, now };
}

function passes(front: FrontLoad, from: number, passMs: number, requests: number, count = 1, deadlineMs = 1e6): void {
  for (let at = from; at < from + count * passMs || at === from; at += passMs) {
    front.wantsTimer(at);
    for (let i = 0; i < requests; i++) front.admits("u", deadlineMs, at);
    front.passed(at + passMs);
    if (passMs === 0) return;
  }
}

describe("lag", () => {
  test("is the part of a pass that requests waited for each other; of two passes the shorter counts", () => {
    const { front, now } = frontWith(30);
    expect(front.lagMs(now)).toBe(27);
    passes(front, now, 5, 2);
    expect(front.lagMs(now + 5)).toBe(2.5);
    passes(front, now + 5, 40, 2);
    expect(front.lagMs(now + 45)).toBe(2.5);
    passes(front, now + 45, 40, 2);
    expect(front.lagMs(now + 85)).toBe(20);
  });

  test("one request at a time has none, however slow its stages are", () => {
    const { front, now } = frontWith(500, 1);
    expect(front.lagMs(now)).toBe(0);
    front.wantsTimer(now);
    front.admits("u", 100, now);
    expect(front.dearness(now + 500)).toBe(0);
  });

  test("is seen at once: a pass is at least as long as its timer has been out", () => {
    const { front, now } = frontWith(1);
    expect(front.wantsTimer(now)).toBe(true);
    expect(front.wantsTimer(now + 1)).toBe(false);
    for (let i = 0; i < 2; i++) front.admits("u", 100, now);
    expect(front.lagMs(now + 20)).toBe(10);
  });

  test("counts those who have been let in during the pass, by what requests took when it was full", () => {
    const { front, now } = frontWith(1);
    front.wantsTimer(now);
    for (let i = 0; i < 20; i++) front.admits("u", 1000, now);
    expect(front.lagMs(now)).toBe(20);
    // A few that come together are no shortage.
    expect(front.dearness(now)).toBe(0);
    // 20 requests in 60 ms are 3 ms each, and that is learnt over some passes.
    front.passed(now + 60);
    for (let pass = 1; pass <= 30; pass++) passes(front, now + pass * 1000, 60, 20);
    const later = now + 40_000;
    front.wantsTimer(later);
    for (let i = 0; i < 10; i++) front.admits("u", 1000, later);
    expect(front.lagMs(later)).toBeCloseTo(30, 0);
  });

  test("is forgotten where no pass has been measured for a while", () => {
    const { front, now } = frontWith(40);
    expect(front.lagMs(now + 100)).toBe(36);
    expect(front.lagMs(now + 101)).toBe(0);
  });

  test("a timer whose request is gone is set anew", () => {
    const { front, now } = frontWith(1);
    front.wantsTimer(now);
    expect(front.wantsTimer(now + 999)).toBe(false);
    expect(front.wantsTimer(now + 1000)).toBe(true);
  });

  test("a clock that steps back is no lag", () => {
    const front = new FrontLoad();
    front.wantsTimer(1000);
    for (let i = 0; i < 2; i++) front.admits("u", 100, 1000);
    front.passed(900);
    expect(front.lagMs(900)).toBe(0);
  });
});

test("the thread's time is free while it has enough, and dearest long before anybody is turned away", () => {
  const at = (lagMs: number, deadlineMs: number): number => {
    const { front, now } = frontWith(2 * lagMs, 2, deadlineMs);
    return front.dearness(now);
  };
  expect([2, 6, 10, 50].map((lagMs) => at(lagMs, 100))).toEqual([0, 0.5, 1, 1]);
  // Who has more time can wait for longer.
  expect([2, 51, 100, 500].map((lagMs) => at(lagMs, 1000))).toEqual([0, 0.5, 1, 1]);
});

describe("who is let in", () => {
  test("everybody while a pass takes less than its part of the time; whoever has more time for longer", () => {
    const { front, now } = frontWith(20, 2);
    // 10 ms: a light user's are let in with twice as much, a heavy one's with two and a half times.
    expect(front.admits("u", 21, now)).toBe(true);
    expect(front.admits("u", 19, now)).toBe(false);
    expect(front.admits("u", 1000, now)).toBe(true);
  });

  test("everybody on a thread at work, however short the time", () => {
    const { front, now } = frontWith(4, 2);
    expect(front.admits("u", 1, now)).toBe(true);
  });

  test("those who send less than others for longer than those who send more, but not without end", () => {
    const after = (lagMs: number): FrontLoad => {
      const front = new FrontLoad();
      for (let at = 0; at < 1000; at += 10) front.admits("heavy", 1e6, at);
      for (let at = 0; at < 1000; at += 100) front.admits("light", 1e6, at);
      passes(front, 1001 - 4 * lagMs, 2 * lagMs, 2, 2);
      return front;
    };
    expect(after(45).admits("heavy", 100, 1001)).toBe(false);
    expect(after(45).admits("light", 100, 1001)).toBe(true);
    expect(after(55).admits("light", 100, 1001)).toBe(false);
  });
});

test("the front measures its passes by zero timers, asks its price, and tells who is turned away how long it takes", async () => {
  vi.useFakeTimers();
  try {
    let at = 1000;
    const held: Promise<unknown>[] = [];
    const arrival = { clock: new SystemClock(() => at), waitUntil: (work: Promise<unknown>) => void held.push(work) };
    const application = ladder();
    admit(arrival, "u", 1000);
    // Nobody is there yet whom it could wait for.
    expect(held).toHaveLength(0);
    const leave = enter();
    for (let pass = 0; pass < 2; pass++) {
      admit(arrival, "u", 1000);
      admit(arrival, "u", 1000);
      expect(held).toHaveLength(pass + 1);
      at += 220;
      vi.runAllTimers();
      await Promise.all(held);
    }
    expect(threadPrice(application, at)).toBe(edgeBounds([application]).maxPrice);
    expect(() => admit(arrival, "u", 1000)).not.toThrow();
    expect(held).toHaveLength(3);
    expect(() => admit(arrival, "u", 100)).toThrow(
      expect.objectContaining({
        code: "overloaded",
        message: expect.stringContaining("waits 110 ms"),
        details: expect.objectContaining({ retryAfterMs: 1000, deadlineMs: 100 }),
      }),
    );
    // A single pass without lag, and it is free again.
    vi.runAllTimers();
    await Promise.all(held);
    expect(threadPrice(application, at)).toBe(0);
    leave();
    admit(arrival, "u", 1000);
    expect(held).toHaveLength(3);
  } finally {
    vi.useRealTimers();
  }
});
