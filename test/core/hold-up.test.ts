import { expect, test } from "vitest";
import { HoldUp } from "../../control/hold-up.ts";

test("what is seen right after a stage may have lain for all of it, what comes later has not", () => {
  const holdUp = new HoldUp();
  expect(holdUp.mostMs(10)).toBe(0);
  holdUp.stage(100, 126);
  expect([126, 127, 127.5, 200].map((now) => holdUp.mostMs(now))).toEqual([26, 27, 0, 0]);
});

test("where the clock has gone back, nothing was held up", () => {
  const holdUp = new HoldUp();
  holdUp.stage(100, 126);
  expect(holdUp.mostMs(90)).toBe(0);
});
