/** Who is let in at a front whose thread is busy. */
import { describe, expect, test } from "vitest";
import { FrontLoad } from "../../control/front-load.ts";
import { admit, answered } from "../../functions/api/front.ts";

/** A front that has asked each user's controller at rest, and then many times while a round trip took `tookMs`. */
function frontWith(atRestMs: Record<string, number>, addedMs: number): FrontLoad {
  const front = new FrontLoad();
  for (const [user, tookMs] of Object.entries(atRestMs)) front.answered(user, tookMs, 0);
  for (let i = 0; i < 50; i++) {
    for (const [user, tookMs] of Object.entries(atRestMs)) front.answered(user, tookMs + addedMs, 1);
  }
  return front;
}

describe("lag", () => {
  test("is what a question takes beyond the least of its own controller: distance is none", () => {
    expect(frontWith({ near: 1, far: 80 }, 0).lagMs(1)).toBe(0);
    expect(frontWith({ near: 1, far: 80 }, 30).lagMs(1)).toBe(30);
  });

  test("is forgotten where nobody asks, so that somebody is let in to see", () => {
    const front = frontWith({ u: 1 }, 64);
    expect(front.admits("u", 100, 201)).toBe(false);
    expect(front.admits("u", 100, 202)).toBe(true);
  });

  test("is nothing while it is small, whatever the deadline", () => {
    expect(frontWith({ u: 1 }, 4).admits("u", 1, 1)).toBe(true);
    expect(frontWith({ u: 1 }, 6).admits("u", 1, 1)).toBe(false);
  });

  test("is nothing that only some have met: an object that wakes is not a busy front", () => {
    const front = frontWith({ u: 1, waking: 1 }, 0);
    for (let i = 0; i < 4; i++) front.answered("waking", 500, 1);
    expect(front.lagMs(1)).toBe(0);
  });

  test("the least is forgotten in time: a controller that has moved away is no sign of a busy front", () => {
    const front = frontWith({ u: 1 }, 0);
    for (let second = 1; second <= 200; second++) front.answered("u", 50, second * 1000);
    expect(front.lagMs(200_000)).toBeLessThan(1);
  });
});

describe("who is let in", () => {
  test("everybody while lag takes little of the time; whoever has more time for longer", () => {
    const front = frontWith({ u: 1 }, 6);
    expect(front.admits("u", 100, 1)).toBe(true);
    expect(front.admits("u", 80, 1)).toBe(true);
    expect(front.admits("u", 40, 1)).toBe(false);
    expect(front.admits("u", 1000, 1)).toBe(true);
  });

  test("those who send less than others for longer than those who send more, but not without end", () => {
    const front = frontWith({ light: 1, heavy: 1 }, 0);
    for (let at = 0; at < 1000; at += 10) front.admits("heavy", 100, at);
    for (let at = 0; at < 1000; at += 100) front.admits("light", 100, at);
    for (let i = 0; i < 50; i++) front.answered("light", 11, 1001);
    expect(front.admits("heavy", 100, 1001)).toBe(false);
    expect(front.admits("light", 100, 1001)).toBe(true);
    for (let i = 0; i < 50; i++) front.answered("light", 16, 1001);
    expect(front.admits("light", 100, 1001)).toBe(false);
  });
});

test("who is turned away hears how busy the front is and when to come again", () => {
  answered("u", 0, 1);
  for (let i = 0; i < 5; i++) answered("u", 1, 42);
  expect(() => admit("u", 1000, 42)).not.toThrow();
  expect(() => admit("u", 100, 42)).toThrow(
    expect.objectContaining({
      code: "overloaded",
      message: expect.stringContaining("waits 40 ms"),
      details: expect.objectContaining({ retryAfterMs: 1000, deadlineMs: 100 }),
    }),
  );
});
