import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NodeExecutor, type ArrivingJob, type Step } from "../../control/node-executor.ts";
import { MOST_IN_BATCH } from "../../control/batching.ts";
import { PROBE_EVERY_MS } from "../../control/node-speed.ts";
import type { NodeRegistration } from "../../protocol/fleet.ts";
import { batching, registration } from "./node-fixture.ts";

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

const executor = (over: NodeRegistration = registration()): NodeExecutor => new NodeExecutor(over, 100);

/** Starts what is next and expects it to be a run of these jobs. */
function started(node: NodeExecutor, now: number, ids: string[], rung: number): number {
  const step = node.dispatch(now);
  expect(step).toMatchObject({ do: "run", ids, rung });
  return step?.do === "run" ? step.batch : -1;
}

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

test("whatever arrives, each job ends once, at a rung it allows, and nothing is left behind", () => {
  const event = fc.oneof(
    fc.record({
      on: fc.constant("arrive" as const),
      rung: fc.nat(3),
      down: fc.nat(2),
      remainingMs: fc.integer({ min: 0, max: 90 }),
    }),
    fc.record({ on: fc.constant("cancel" as const), which: fc.nat(8) }),
    fc.record({ on: fc.constant("fail" as const), which: fc.nat(3), all: fc.boolean() }),
    fc.record({ on: fc.constant("pass" as const), ms: fc.nat(30) }),
  );
  let batches = 0;
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 80, size: "max" }),
      fc.integer({ min: 1, max: 3 }),
      fc.constantFrom(0.1, 0.5, 1),
      (events, concurrency, share) => {
        const node = new NodeExecutor(batching(share, { concurrency }), 20);
        const open = new Map<string, ArrivingJob & { dueAt: number }>();
        const running = new Map<number, { ids: string[]; rung: number; endsAt: number }>();
        let now = 0;
        let ids = 0;
        const follow = (step: Step, ran?: { rung: number }): void => {
          if (step.do === "run") {
            const { batch, rung } = step;
            const alone = STAGE_MS[rung] ?? 0;
            running.set(batch, { ids: step.ids, rung, endsAt: now + alone * (1 + (step.ids.length - 1) * share) });
            if (step.ids.length > 1) batches++;
            return;
          }
          const was = open.get(step.id);
          expect(open.delete(step.id), `${step.id} ended twice`).toBe(true);
          if (step.do !== "answer" || !was) return;
          expect(ran?.rung).toBeGreaterThanOrEqual(was.minRung);
          expect(ran?.rung).toBeLessThanOrEqual(was.rung);
          // Times are exact: whatever was admitted, cancelled or failed, no answer is late.
          expect(now).toBeLessThanOrEqual(was.dueAt + 1e-6);
        };
        const dispatch = (): void => {
          for (let step = node.dispatch(now); step; step = node.dispatch(now)) follow(step);
          expect(running.size).toBeLessThanOrEqual(concurrency);
        };
        const end = (batch: number): void => {
          const ran = running.get(batch);
          running.delete(batch);
          for (const step of node.stageEnded(batch, now)) follow(step, ran);
        };
        const pass = (until: number): void => {
          for (;;) {
            const next = [...running].sort((a, b) => a[1].endsAt - b[1].endsAt)[0];
            if (!next || next[1].endsAt > until) break;
            now = Math.max(now, next[1].endsAt);
            end(next[0]);
            dispatch();
          }
          now = until;
        };
        for (const one of events) {
          if (one.on === "pass") pass(now + one.ms);
          else if (one.on === "cancel") {
            const id = `j${ids - 1 - one.which}`;
            if (node.cancel(id) === "gone") expect(open.delete(id)).toBe(true);
          } else if (one.on === "fail") {
            const [batch, ran] = [...running][one.which % Math.max(1, running.size)] ?? [];
            if (batch === undefined || !ran) continue;
            const failing = one.all ? ran.ids : ran.ids.slice(0, 1);
            for (const id of failing) {
              node.failed(id, now);
              expect(open.delete(id)).toBe(true);
            }
            end(batch);
            dispatch();
          } else {
            const arriving = job(`j${ids++}`, {
              rung: one.rung,
              minRung: Math.max(0, one.rung - one.down),
              remainingMs: one.remainingMs,
            });
            if (!node.arrive(arriving, now).queued) continue;
            open.set(arriving.id, { ...arriving, dueAt: now + arriving.remainingMs });
            dispatch();
          }
          const waitingOrRunning = [...open.keys()].length;
          expect(node.size).toBe(waitingOrRunning);
        }
        pass(now + 10_000);
        expect([open.size, running.size, node.size, node.backlogMs(now)]).toEqual([0, 0, 0, 0]);
      },
    ),
    { numRuns: 300 },
  );
  expect(batches).toBeGreaterThan(0);
});

test("what was admitted on exact times is answered in time, at a rung it allows, unless it is cancelled", () => {
  const arrival = fc.record({
    afterMs: fc.integer({ min: 0, max: 15 }),
    rung: fc.nat(2),
    down: fc.nat(2),
    remainingMs: fc.integer({ min: 1, max: 60 }),
    cancelled: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  });
  let admitted = 0;
  let refusals = 0;
  fc.assert(
    fc.property(fc.array(arrival, { maxLength: 60, size: "max" }), (arrivals) => {
      const node = executor();
      const due = new Map<string, number>();
      let running: { batch: number; rung: number; endsAt: number } | null = null;
      const follow = (step: Step | null | undefined, now: number): void => {
        if (!step || step.do === "drop") return;
        expect(step.do).not.toBe("late");
        if (step.do === "run") running = { ...step, endsAt: now + (STAGE_MS[step.rung] ?? 0) };
        else if (step.do === "answer") {
          expect(now).toBeLessThanOrEqual(due.get(step.id) ?? -1);
          due.delete(step.id);
        }
      };
      const runUntil = (until: number): void => {
        while (running && running.endsAt <= until) {
          const { batch, endsAt }: { batch: number; endsAt: number } = running;
          running = null;
          for (const step of node.stageEnded(batch, endsAt)) follow(step, endsAt);
          if (!running) follow(node.dispatch(endsAt), endsAt);
        }
      };
      let now = 0;
      for (const [i, { afterMs, rung, down, remainingMs, cancelled }] of arrivals.entries()) {
        runUntil((now += afterMs));
        const id = `${i}`;
        if (!node.arrive(job(id, { rung, minRung: Math.max(0, rung - down), remainingMs }), now).queued) {
          refusals++;
          continue;
        }
        admitted++;
        due.set(id, now + remainingMs);
        if (!running) follow(node.dispatch(now), now);
        if (cancelled && node.cancel(id) !== "unknown") due.delete(id);
      }
      runUntil(now + 10_000);
      expect([due.size, node.size]).toEqual([0, 0]);
    }),
    { numRuns: 300 },
  );
  expect(Math.min(admitted, refusals)).toBeGreaterThan(1000);
});
