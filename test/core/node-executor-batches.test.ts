/** Jobs that a node runs together: which ones, how many, and that each still ends on its own. */
import { describe, expect, test } from "vitest";
import { MOST_IN_BATCH } from "../../control/batching.ts";
import { executor, job, started } from "./node-executor-fixture.ts";
import { batching } from "./node-fixture.ts";

describe("batches", () => {
  const node = () => executor(batching(0.25));
  const ids = (count: number) => Array.from({ length: count }, (_, i) => `j${i}`);

  test("jobs that run the same stages run together, as many as there are, at most the limit", () => {
    const one = node();
    for (const id of ids(20)) one.arrive(job(id), 0);
    const batch = started(one, 0, ids(MOST_IN_BATCH), 2);
    expect(one.size).toBe(20);
    // 20 + 15 · 5 ms.
    expect(one.stageEnded(batch, 95)).toHaveLength(MOST_IN_BATCH);
    started(one, 95, ids(20).slice(MOST_IN_BATCH), 2);
    expect(one.size).toBe(4);
  });

  test("not where a batch gains too little, nor with another rung, start or application", () => {
    const slow = executor(batching(0.9));
    for (const id of ids(3)) slow.arrive(job(id), 0);
    started(slow, 0, ["j0"], 2);
    const mixed = node();
    mixed.arrive(job("a", { rung: 1, minRung: 1 }), 0);
    mixed.arrive(job("b", { rung: 0, minRung: 0 }), 0);
    mixed.arrive(job("c", { rung: 1, minRung: 1, from: 0 }), 0);
    mixed.arrive(job("d", { rung: 1, minRung: 1 }), 0);
    started(mixed, 0, ["a", "d"], 0);
  });

  test("only while the earliest deadline inside still holds at the upper end", () => {
    const one = node();
    one.arrive(job("tight", { remainingMs: 40 }), 0);
    for (const id of ids(4)) one.arrive(job(id), 0);
    // 20 ms take up to 27.3, 25 up to 34.2, 30 up to 41.
    started(one, 0, ["tight", "j0"], 2);
  });

  test("nobody who is overtaken becomes late by it", () => {
    const one = node();
    one.arrive(job("a", { remainingMs: 100 }), 0);
    one.arrive(job("between", { rung: 1, minRung: 1, remainingMs: 101 }), 0);
    one.arrive(job("b", { remainingMs: 102 }), 0);
    started(one, 0, ["a", "b"], 2);
    const other = node();
    other.arrive(job("a", { remainingMs: 33 }), 0);
    other.arrive(job("between", { rung: 1, minRung: 1, remainingMs: 34 }), 0);
    other.arrive(job("b", { remainingMs: 102 }), 0);
    started(other, 0, ["a"], 2);
  });

  test("each stops or steps down on its own, the others go on together; the time is shared", () => {
    const one = node();
    one.arrive(job("stays", { rung: 1, minRung: 0 }), 0);
    one.arrive(job("stops", { rung: 1, minRung: 0, remainingMs: 11 }), 0);
    one.arrive(job("leaves", { rung: 1, minRung: 0 }), 0);
    const batch = started(one, 0, ["stops", "stays", "leaves"], 0);
    one.cancel("leaves");
    // Three stages at once took 6 ms instead of 3: too little is left for one of them.
    expect(one.stageEnded(batch, 6)).toEqual([
      { do: "answer", id: "stops", queueMs: 0, computeMs: 6, batch: 3 },
      { do: "drop", id: "leaves" },
      { do: "run", batch, ids: ["stays"], rung: 1 },
    ]);
    // Of 9 ms in all, 6 were shared by three: its part is 5 of them, as if two had shared all.
    expect(one.stageEnded(batch, 9)).toEqual([{ do: "answer", id: "stays", queueMs: 0, computeMs: 9, batch: 2 }]);
    expect([one.size, one.backlogMs(9)]).toEqual([0, 0]);
  });

  test("one that fails leaves the others alone; the lane is free when all have failed", () => {
    const one = node();
    for (const id of ids(2)) one.arrive(job(id), 0);
    const batch = started(one, 0, ids(2), 2);
    one.failed("j0", 25);
    expect(one.stageEnded(batch, 25)).toMatchObject([{ do: "answer", id: "j1", batch: 2 }]);
    one.arrive(job("x"), 30);
    const last = started(one, 30, ["x"], 2);
    one.failed("x", 31);
    expect(one.stageEnded(last, 31)).toEqual([]);
    expect([one.size, one.backlogMs(31)]).toEqual([0, 0]);
  });
});
