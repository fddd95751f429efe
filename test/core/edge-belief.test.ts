import { expect, test } from "vitest";
import { EdgeBelief } from "../../control/edge-belief.ts";

const view = (aheadMs: number, price = 0.01) => ({ price, aheadMs, ageMs: 1 });

test("nothing is known before the first call; then the calls under way are what is ahead", () => {
  const belief = new EdgeBelief();
  expect(belief.view(0)).toBeUndefined();
  const back = belief.sent(3);
  belief.sent(4);
  expect(belief.view(5)).toEqual({ price: 0, aheadMs: 7, ageMs: 0 });
  // Nothing came back with it.
  back(undefined, 6);
  expect(belief.view(6)).toEqual({ price: 0, aheadMs: 4, ageMs: 0 });
});

test("a view counts the calls open when it comes, and only later ones are added to it", () => {
  const belief = new EdgeBelief();
  const [first, second, third] = [belief.sent(3), belief.sent(4), belief.sent(5)];
  first(view(9), 10);
  expect(belief.view(12)).toEqual({ price: 0.01, aheadMs: 9, ageMs: 3 });
  const later = belief.sent(2);
  expect(belief.view(12)?.aheadMs).toBe(11);
  // One that the view had counted is over without a new view: what it saw stands.
  second(undefined, 13);
  expect(belief.view(13)?.aheadMs).toBe(11);
  later(undefined, 14);
  expect(belief.view(14)?.aheadMs).toBe(9);
  third(view(0), 15);
  expect(belief.view(15)).toEqual({ price: 0.01, aheadMs: 0, ageMs: 1 });
});
