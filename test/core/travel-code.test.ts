import { expect, test } from "vitest";
import { travelCode } from "../../control/travel-code.ts";

const bytes = { f32: 400, u8: 90, u4: 40 };
const shape = [100];

test.each([
  ["the fewest bytes where neither code costs too much", { u8: 0, u4: 0.1 }, "u4"],
  ["8 bits where 4 cost too much", { u8: 0.02, u4: 0.11 }, "u8"],
  ["4 bits where only they are cheap enough, however odd", { u8: 0.2, u4: 0 }, "u4"],
  ["float32 where both cost too much", { u8: 0.2, u4: 3 }, "f32"],
] as const)("%s", (_, lostPoints, code) => {
  expect(travelCode({ shape, bytes, lostPoints })).toBe(code);
});

test("deflate can make the wider code the smaller one", () => {
  expect(travelCode({ shape, bytes: { ...bytes, u8: 39 }, lostPoints: { u8: 0, u4: 0 } })).toBe("u8");
});
