import { expect, test } from "vitest";
import { oncePer } from "../../control/once.ts";

test("is worked out once for each object, null included", () => {
  let times = 0;
  const half = oncePer(({ n }: { n: number }) => {
    times++;
    return n % 2 === 0 ? n / 2 : null;
  });
  const [even, odd] = [{ n: 4 }, { n: 3 }];
  expect([half(even), half(odd), half(even), half(odd)]).toEqual([2, null, 2, null]);
  expect(times).toBe(2);
  expect(half({ n: 4 })).toBe(2);
  expect(times).toBe(3);
});
