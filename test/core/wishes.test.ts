import { describe, expect, it } from "vitest";
import { readWishes, refuseUnknownQuery } from "../../functions/api/wishes.ts";
import type { Application } from "../../protocol/application.ts";
import type { Carriers } from "../../protocol/deadline.ts";
import { DystriError } from "../../protocol/errors.ts";
import tiny from "../fixtures/tiny/app.json" with { type: "json" };

const application = tiny as Application;

function from(query: string, headers: Record<string, string> = {}, parameters?: Record<string, unknown>): Carriers {
  return {
    header: (name) => headers[name] ?? null,
    query: new URLSearchParams(query),
    ...(parameters ? { parameters } : {}),
  };
}

function problemOf(read: () => unknown): DystriError {
  try {
    read();
  } catch (error) {
    if (error instanceof DystriError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("wishes", () => {
  it("are modest when none are made", () => {
    expect(readWishes(from(""), application)).toEqual({
      wishes: { deadlinePolicy: "best_effort" },
      topK: application.labels.length,
      explain: false,
    });
  });

  it("are read from the query", () => {
    const query =
      "deadline_policy=strict&min_accuracy=0.9&min_confidence=0.8&max_exit=2&tier=node&top_k=1&priority=high&explain=true";
    expect(readWishes(from(query), application)).toEqual({
      wishes: {
        deadlinePolicy: "strict",
        minAccuracy: 0.9,
        minConfidence: 0.8,
        maxExit: 2,
        tier: "node",
        priority: "high",
      },
      topK: 1,
      explain: true,
    });
  });

  it("are read from headers and parameters", () => {
    const { wishes } = readWishes(
      from("", { "dystri-min-confidence": "0.5", "dystri-tier": "edge" }, { exit: 1, deadline_policy: "strict" }),
      application,
    );
    expect(wishes).toEqual({ deadlinePolicy: "strict", minConfidence: 0.5, maxExit: 1, tier: "edge" });
  });

  it("take parameters before the query before headers, and max_exit before exit", () => {
    const headers = { "dystri-max-exit": "3", "dystri-min-accuracy": "0.3" };
    const read = readWishes(from("max_exit=2&min_accuracy=0.2&exit=3", headers, { min_accuracy: 0.1 }), application);
    expect(read.wishes).toMatchObject({ maxExit: 2, minAccuracy: 0.1 });
  });

  it("leave the tier open when it is auto", () => {
    expect(readWishes(from("tier=auto"), application).wishes).not.toHaveProperty("tier");
  });

  it.each([
    ["0", "normal"],
    ["1", "high"],
    ["2", "low"],
    ["17", "low"],
    ["low", "low"],
  ])("read the priority %s as %s", (given, priority) => {
    expect(readWishes(from(`priority=${given}`), application).wishes.priority).toBe(priority);
  });

  it.each([
    ["", true],
    ["1", true],
    ["false", false],
    ["0", false],
  ])("read explain=%s as %s", (given, explain) => {
    expect(readWishes(from(`explain=${given}`), application).explain).toBe(explain);
  });

  it("never ask for more labels than there are", () => {
    expect(readWishes(from("top_k=100"), application).topK).toBe(application.labels.length);
  });

  it.each([
    ["deadline_policy=maybe", "query deadline_policy"],
    ["min_accuracy=1.5", "query min_accuracy"],
    ["min_accuracy=-0.1", "query min_accuracy"],
    ["min_confidence=high", "query min_confidence"],
    ["min_confidence=NaN", "query min_confidence"],
    ["max_exit=0", "query max_exit"],
    ["max_exit=4", "query max_exit"],
    ["exit=1.5", "query exit"],
    ["tier=cloud", "query tier"],
    ["tier=device", "query tier"],
    ["top_k=0", "query top_k"],
    ["top_k=101", "query top_k"],
    ["top_k=1&top_k=2", "query top_k"],
    ["tier=", "query tier"],
    ["priority=urgent", "query priority"],
    ["priority=-1", "query priority"],
    ["explain=maybe", "query explain"],
  ])("refuse %s, naming field, value and remedy", (query, field) => {
    const problem = problemOf(() => readWishes(from(query), application));
    expect(problem.code).toBe("bad_parameter");
    expect(problem.details).toMatchObject({
      field,
      value: expect.any(String) as string,
      hint: expect.stringMatching(/^send /) as string,
    });
  });

  it("name the header as it is documented", () => {
    const problem = problemOf(() => readWishes(from("", { "dystri-min-accuracy": "most" }), application));
    expect(problem.details.field).toBe("header Dystri-Min-Accuracy");
  });

  it("refuse a misspelt name in the query", () => {
    const problem = problemOf(() => refuseUnknownQuery(new URLSearchParams("deadline_ms=80&min_acuracy=0.9")));
    expect(problem).toMatchObject({ code: "bad_parameter", details: { field: "query min_acuracy", value: "0.9" } });
    expect(() => refuseUnknownQuery(new URLSearchParams("deadline_ms=80&top_k=3"))).not.toThrow();
  });
});
