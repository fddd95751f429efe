/** Reports on their way to a controller: none is lost, none goes twice, and views age while they wait. */
import { expect, test } from "vitest";
import { MAX_WAITING, REPORT_WITHIN_MS, ReportBox } from "../../functions/api/report-box.ts";
import type { Report } from "../../protocol/plan.ts";

const report = (planId: string): Report => ({
  planId,
  application: "tiny",
  outcome: "onTime",
  rung: 0,
  bin: 0,
  legs: [],
  edge: { price: 0.1, aheadMs: 3, ageMs: 1 },
  nodes: [{ node: "n1", epoch: 1, seq: 1, price: 0, slowdown: 1, tail: 1, backlogMs: [0, 0, 0, 0, 0, 0], ageMs: 2 }],
});
const ids = (reports: readonly Report[]): string[] => reports.map(({ planId }) => planId);

test("the next question takes all of one controller, oldest first, and of no other", () => {
  const box = new ReportBox();
  box.add("a", report("1"), 0);
  box.add("b", report("2"), 0);
  box.add("a", report("3"), 5);
  expect(ids(box.take("a", 10))).toEqual(["1", "3"]);
  expect(box.take("a", 10)).toEqual([]);
  expect(ids(box.take("b", 10))).toEqual(["2"]);
});

test("one sees to it that they leave, others need not, whatever questions take along meanwhile", () => {
  const box = new ReportBox();
  expect(box.add("a", report("1"), 0)).toBe("later");
  expect(box.add("a", report("2"), 1)).toBeNull();
  expect(ids(box.take("a", 2))).toEqual(["1", "2"]);
  expect(box.add("a", report("3"), 3)).toBeNull();
  expect(ids(box.leave("a", REPORT_WITHIN_MS))).toEqual(["3"]);
  expect(box.leave("a", REPORT_WITHIN_MS)).toEqual([]);
  expect(box.add("a", report("4"), REPORT_WITHIN_MS)).toBe("later");
});

test("where the one is gone without sending them, a later one sees to it", () => {
  const box = new ReportBox();
  box.add("a", report("1"), 0);
  expect(box.add("a", report("2"), REPORT_WITHIN_MS + 1)).toBe("later");
  expect(box.add("a", report("3"), REPORT_WITHIN_MS + 2)).toBeNull();
  expect(ids(box.leave("a", 2 * REPORT_WITHIN_MS + 1))).toEqual(["1", "2", "3"]);
});

test("many do not wait for the time", () => {
  const box = new ReportBox();
  const when = Array.from({ length: MAX_WAITING }, (_, i) => box.add("a", report(`${i}`), 0));
  expect(when.at(-1)).toBe("now");
  expect(when.filter((each) => each === "now").length).toBe(1);
});

test("views are as old as they have become", () => {
  const box = new ReportBox();
  box.add("a", report("1"), 0);
  expect(box.take("a", 7)[0]).toMatchObject({ edge: { aheadMs: 3, ageMs: 8 }, nodes: [{ ageMs: 9 }] });
});
