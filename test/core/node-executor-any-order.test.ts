/** A node's executor under any order of events: every job ends once, and in time where times are exact. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { NodeExecutor, type ArrivingJob, type Step } from "../../control/node-executor.ts";
import { executor, job, STAGE_MS } from "./node-executor-fixture.ts";
import { batching } from "./node-fixture.ts";

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
