/** How a node keeps deadlines: what it takes, what runs first, where a job stops, and how fast it believes itself to be. */
import { describe, expect, test } from "vitest";
import { NodeExecutor, type ArrivingJob } from "../../control/node-executor.ts";
import { PROBE_EVERY_MS } from "../../control/node-speed.ts";
import { executor, job, started } from "./node-executor-fixture.ts";
import { registration } from "./node-fixture.ts";

describe("arrival", () => {
  test("takes what it can finish in time and refuses the rest at once", () => {
    const node = executor();
    const arrivals = [0, 1, 2].map((i) => node.arrive(job(`${i}`, { remainingMs: 50 }), 0));
    expect(arrivals.map((arrival) => (arrival.queued ? "queued" : arrival.code))).toEqual([
      "queued",
      "queued",
      "too_late",
    ]);
    expect(node.size).toBe(2);
    expect(node.backlogMs(0)).toBe(40);
  });

  test("admits for a lower rung where the wanted one does not fit, and never runs more than it admitted", () => {
    const node = executor();
    expect(node.arrive(job("a", { remainingMs: 10, minRung: 0 }), 0)).toEqual({ queued: true });
    const batch = started(node, 0, ["a"], 0);
    expect(node.stageEnded(batch, 2)).toEqual([{ do: "run", batch, ids: ["a"], rung: 1 }]);
    expect(node.stageEnded(batch, 5)).toEqual([{ do: "answer", id: "a", queueMs: 0, computeMs: 5, batch: 1 }]);
  });

  test("never steps up, even when the time comes back", () => {
    const node = executor();
    node.arrive(job("first"), 0);
    started(node, 0, ["first"], 2);
    node.arrive(job("a", { remainingMs: 30, minRung: 0 }), 0);
    node.failed("first", 1);
    started(node, 1, ["a"], 0);
  });

  test.each([
    [{ application: "other" }, "unknown_application"],
    [{ application: "constructor" }, "unknown_application"],
    [{ rung: 9, minRung: 9 }, "unknown_application"],
    [{ from: 0 }, "unknown_application"],
    [{ remainingMs: 0 }, "too_late"],
    [{ remainingMs: Number.NaN }, "too_late"],
  ])("%j is refused as %s", (over, code) => {
    expect(executor().arrive(job("a", over), 0)).toMatchObject({ queued: false, code });
  });

  test("a draining node takes nothing and finishes what it holds", () => {
    const node = executor();
    node.arrive(job("a"), 0);
    node.drain();
    expect(node.arrive(job("b"), 0)).toMatchObject({ code: "draining" });
    node.stageEnded(started(node, 0, ["a"], 2), 20);
    expect(node.size).toBe(0);
  });
});

describe("dispatch", () => {
  test("earliest deadline first, one at a time", () => {
    const node = executor();
    for (const [id, remainingMs] of [
      ["c", 300],
      ["a", 100],
      ["b", 200],
    ] as const)
      node.arrive(job(id, { remainingMs }), 0);
    const order: string[] = [];
    for (let step = node.dispatch(0), now = 0; step; step = node.dispatch(now)) {
      expect(node.dispatch(now)).toBeNull();
      if (step.do !== "run") throw new Error(step.do);
      order.push(...step.ids);
      node.stageEnded(step.batch, (now += 20));
    }
    expect(order).toEqual(["a", "b", "c"]);
  });

  test("a job that has become late steps down, or gives up below its lowest rung", () => {
    const node = executor();
    node.arrive(job("low", { remainingMs: 30, minRung: 0 }), 0);
    started(node, 25, ["low"], 0);
    node.failed("low", 25);
    node.arrive(job("none", { remainingMs: 30 }), 100);
    expect(node.dispatch(125)).toEqual({ do: "late", id: "none" });
    expect(node.size).toBe(0);
  });

  test("the tail decides while a lower rung is left, the median for the last one", () => {
    const wide = registration();
    const profile = wide.applications["tiny"]?.rungs["2"];
    if (!profile) throw new Error("no profile");
    profile.p95Ms = 30;
    const choice = new NodeExecutor(wide, 10);
    choice.arrive(job("a", { remainingMs: 25, minRung: 1 }), 0);
    expect(choice.dispatch(0)).toMatchObject({ do: "run", rung: 0 });
    const noChoice = new NodeExecutor(wide, 10);
    noChoice.arrive(job("b", { remainingMs: 25 }), 0);
    expect(noChoice.dispatch(0)).toMatchObject({ do: "run", rung: 2 });
  });

  test("two lanes run two at once", () => {
    const node = new NodeExecutor(registration({ concurrency: 2 }), 10);
    for (const id of ["a", "b", "c"]) node.arrive(job(id, { remainingMs: 41 }), 0);
    started(node, 0, ["a"], 2);
    const second = started(node, 0, ["b"], 2);
    expect(node.dispatch(0)).toBeNull();
    node.stageEnded(second, 20);
    started(node, 20, ["c"], 2);
  });
});

describe("between stages", () => {
  const chained = (over: Partial<ArrivingJob>) => job("a", { rung: 1, ...over });

  test("stops at an allowed exit when the next stage would be late", () => {
    const node = executor();
    node.arrive(chained({ minRung: 0, remainingMs: 8 }), 0);
    const batch = started(node, 0, ["a"], 0);
    expect(node.stageEnded(batch, 6)).toEqual([{ do: "answer", id: "a", queueMs: 0, computeMs: 6, batch: 1 }]);
  });

  test("gives up when the exit it has is below the lowest allowed", () => {
    const node = executor();
    node.arrive(chained({ minRung: 1, remainingMs: 8 }), 0);
    const batch = started(node, 0, ["a"], 0);
    expect(node.stageEnded(batch, 6)).toEqual([{ do: "late", id: "a" }]);
    expect(node.size).toBe(0);
  });

  test("resumes from a cut with the rest of the way only", () => {
    const node = executor();
    expect(node.arrive(chained({ from: 0, minRung: 1, remainingMs: 4 }), 0)).toEqual({ queued: true });
    expect(node.stageEnded(started(node, 0, ["a"], 1), 3)).toMatchObject([{ do: "answer" }]);
  });

  test.each([
    [0, "answer"],
    [1, "run"],
  ] as const)("with an exit it may give (lowest %i) it makes room for one that would be late: %s", (minRung, what) => {
    const node = executor();
    node.arrive(chained({ minRung, remainingMs: 100 }), 0);
    const batch = started(node, 0, ["a"], 0);
    expect(node.arrive(job("urgent", { remainingMs: 32 }), 0)).toEqual({ queued: true });
    // The first stage took eight milliseconds longer than it should have.
    expect(node.stageEnded(batch, 10)[0]?.do).toBe(what);
  });
});

describe("cancel", () => {
  test("waiting work is gone, running work is dropped at its stage's end, unknown work is no error", () => {
    const node = executor();
    node.arrive(job("runs", { rung: 1, minRung: 0 }), 0);
    const batch = started(node, 0, ["runs"], 0);
    node.arrive(job("waits"), 0);
    expect([node.cancel("waits"), node.cancel("runs"), node.cancel("nobody")]).toEqual(["gone", "stopping", "unknown"]);
    expect(node.stageEnded(batch, 2)).toEqual([{ do: "drop", id: "runs" }]);
    expect(node.size).toBe(0);
    expect(node.backlogMs(2)).toBe(0);
  });
});

describe("a machine that is not as its profile says", () => {
  /** A node that has run jobs of 20 ms in `tookMs`, up to `now`. */
  function after(tookMs: number): { node: NodeExecutor; now: number } {
    const node = executor();
    let now = 0;
    for (let i = 0; i < 50; i++, now += 200) {
      node.arrive(job(`${i}`), now);
      node.stageEnded(started(node, now, [`${i}`], 2), now + tookMs);
    }
    return { node, now };
  }

  test("admits less when it is slower", () => {
    const { node, now } = after(40);
    expect(node.slowdown).toBeCloseTo(2, 1);
    node.arrive(job("first"), now);
    started(node, now, ["first"], 2);
    expect(node.arrive(job("a", { remainingMs: 75 }), now)).toMatchObject({ code: "too_late" });
    expect(node.arrive(job("b", { remainingMs: 90 }), now)).toEqual({ queued: true });
  });

  test("a lone job that only the estimate calls late is run all the same, now and then, and mends the estimate", () => {
    const { node, now } = after(60);
    expect(node.arrive(job("probe", { remainingMs: 30 }), now)).toEqual({ queued: true });
    const batch = started(node, now, ["probe"], 2);
    expect(node.stageEnded(batch, now + 20)).toMatchObject([{ do: "answer", id: "probe" }]);
    expect(node.slowdown).toBeLessThan(3);
    expect(node.arrive(job("again", { remainingMs: 30 }), now + 30)).toMatchObject({ code: "too_late" });
    expect(node.arrive(job("later", { remainingMs: 30 }), now + PROBE_EVERY_MS)).toEqual({ queued: true });
    expect(node.arrive(job("hopeless", { remainingMs: 19 }), now + 2 * PROBE_EVERY_MS)).toMatchObject({
      code: "too_late",
    });
  });
});
