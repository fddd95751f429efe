import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NodeExecutor, type ArrivingJob, type Step } from "../../control/node-executor.ts";
import { registration } from "./node-fixture.ts";

const job = (id: string, over: Partial<ArrivingJob> = {}): ArrivingJob => ({
  id,
  application: "tiny",
  from: "input",
  rung: 2,
  minRung: 2,
  remainingMs: 1000,
  ...over,
});

/** Milliseconds of each rung's stage alone, as in the fixture. */
const STAGE_MS = [2, 3, 20];

const executor = (): NodeExecutor => new NodeExecutor(registration(), 100);

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
    expect(node.dispatch(0)).toEqual({ do: "run", id: "a", rung: 0 });
    expect(node.stageEnded("a", 2)).toEqual({ do: "run", id: "a", rung: 1 });
    expect(node.stageEnded("a", 5)).toEqual({ do: "answer", id: "a", queueMs: 0, computeMs: 5 });
  });

  test("never steps up, even when the time comes back", () => {
    const node = executor();
    node.arrive(job("first"), 0);
    node.dispatch(0);
    node.arrive(job("a", { remainingMs: 30, minRung: 0 }), 0);
    node.failed("first", 1);
    expect(node.dispatch(1)).toEqual({ do: "run", id: "a", rung: 0 });
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
    expect(node.dispatch(0)).toMatchObject({ do: "run", id: "a" });
    node.stageEnded("a", 20);
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
      order.push(step.id);
      node.stageEnded(step.id, (now += 20));
    }
    expect(order).toEqual(["a", "b", "c"]);
  });

  test("a job that has become late steps down, or gives up below its lowest rung", () => {
    const node = executor();
    node.arrive(job("low", { remainingMs: 30, minRung: 0 }), 0);
    expect(node.dispatch(25)).toEqual({ do: "run", id: "low", rung: 0 });
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
    expect([node.dispatch(0)?.id, node.dispatch(0)?.id, node.dispatch(0)]).toEqual(["a", "b", null]);
    node.stageEnded("b", 20);
    expect(node.dispatch(20)?.id).toBe("c");
  });
});

describe("between stages", () => {
  test("stops at an allowed exit when the next stage would be late", () => {
    const node = executor();
    node.arrive(job("a", { rung: 1, minRung: 0, remainingMs: 6 }), 0);
    node.dispatch(0);
    expect(node.stageEnded("a", 4)).toEqual({ do: "answer", id: "a", queueMs: 0, computeMs: 4 });
  });

  test("gives up when the exit it has is below the lowest allowed", () => {
    const node = executor();
    node.arrive(job("a", { rung: 1, minRung: 1, remainingMs: 6 }), 0);
    node.dispatch(0);
    expect(node.stageEnded("a", 4)).toEqual({ do: "late", id: "a" });
    expect(node.size).toBe(0);
  });

  test("resumes from a cut with the rest of the way only", () => {
    const node = executor();
    expect(node.arrive(job("a", { from: 0, rung: 1, minRung: 1, remainingMs: 3 }), 0)).toEqual({ queued: true });
    expect(node.dispatch(0)).toEqual({ do: "run", id: "a", rung: 1 });
    expect(node.stageEnded("a", 3)).toMatchObject({ do: "answer" });
  });
});

describe("cancel", () => {
  test("waiting work is gone, running work is dropped at its stage's end, unknown work is no error", () => {
    const node = executor();
    node.arrive(job("runs", { rung: 1, minRung: 0 }), 0);
    node.dispatch(0);
    node.arrive(job("waits"), 0);
    expect([node.cancel("waits"), node.cancel("runs"), node.cancel("nobody")]).toEqual(["gone", "stopping", "unknown"]);
    expect(node.stageEnded("runs", 2)).toEqual({ do: "drop", id: "runs" });
    expect(node.size).toBe(0);
    expect(node.backlogMs(2)).toBe(0);
  });
});

test("a slower machine than its profile admits less", () => {
  const node = executor();
  for (let i = 0, now = 0; i < 50; i++, now += 100) {
    node.arrive(job(`${i}`), now);
    node.dispatch(now);
    node.stageEnded(`${i}`, now + 40);
  }
  expect(node.slowdown).toBeCloseTo(2, 1);
  expect(node.arrive(job("a", { remainingMs: 35 }), 6000)).toMatchObject({ code: "too_late" });
});

test("whatever arrives, each job ends once, at a rung it allows, and nothing is left behind", () => {
  const event = fc.oneof(
    fc.record({
      on: fc.constant("arrive" as const),
      rung: fc.nat(3),
      down: fc.nat(2),
      remainingMs: fc.integer({ min: 0, max: 90 }),
    }),
    fc.record({ on: fc.constant("cancel" as const), which: fc.nat(8) }),
    fc.record({ on: fc.constant("pass" as const), ms: fc.nat(30) }),
  );
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 80, size: "max" }),
      fc.integer({ min: 1, max: 3 }),
      (events, concurrency) => {
        const node = new NodeExecutor(registration({ concurrency }), 20);
        const open = new Map<string, ArrivingJob>();
        const running = new Map<string, { rung: number; endsAt: number }>();
        let now = 0;
        let ids = 0;
        const follow = (step: Step): void => {
          running.delete(step.id);
          if (step.do === "run") {
            running.set(step.id, { rung: step.rung, endsAt: now + (STAGE_MS[step.rung] ?? 0) });
            return;
          }
          expect(open.delete(step.id), `${step.id} ended twice`).toBe(true);
        };
        const dispatch = (): void => {
          for (let step = node.dispatch(now); step; step = node.dispatch(now)) follow(step);
          expect(running.size).toBeLessThanOrEqual(concurrency);
        };
        const pass = (until: number): void => {
          for (;;) {
            const next = [...running].sort((a, b) => a[1].endsAt - b[1].endsAt)[0];
            if (!next || next[1].endsAt > until) break;
            now = Math.max(now, next[1].endsAt);
            const step = node.stageEnded(next[0], now);
            if (step.do === "answer") expect(next[1].rung).toBeGreaterThanOrEqual(open.get(next[0])?.minRung ?? 99);
            if (step.do === "answer") expect(next[1].rung).toBeLessThanOrEqual(open.get(next[0])?.rung ?? -1);
            follow(step);
            dispatch();
          }
          now = until;
        };
        for (const one of events) {
          if (one.on === "pass") pass(now + one.ms);
          else if (one.on === "cancel") {
            const id = `j${ids - 1 - one.which}`;
            if (node.cancel(id) === "gone") expect(open.delete(id)).toBe(true);
          } else {
            const arriving = job(`j${ids++}`, {
              rung: one.rung,
              minRung: Math.max(0, one.rung - one.down),
              remainingMs: one.remainingMs,
            });
            if (!node.arrive(arriving, now).queued) continue;
            open.set(arriving.id, arriving);
            dispatch();
          }
        }
        pass(now + 10_000);
        expect([open.size, running.size, node.size, node.backlogMs(now)]).toEqual([0, 0, 0, 0]);
      },
    ),
    { numRuns: 300 },
  );
});
