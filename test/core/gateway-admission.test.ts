/** What a gateway sends to its node and what it refuses: deadlines, rungs, bounds, and how fast it believes the node to be. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_IN_FLIGHT_BYTES } from "../../control/ledger.ts";
import { NodeExecutor, type Step } from "../../control/node-executor.ts";
import { MAX_FRAME_PAYLOAD_BYTES, MAX_IN_FLIGHT } from "../../protocol/limits.ts";
import { online, refusalOf } from "./gateway-fixture.ts";
import { answer, batching, job, MEDIAN_MS, only, registration, sentJob } from "./node-fixture.ts";

describe("admission", () => {
  test("takes what makes its deadline behind the queue and refuses what does not", () => {
    const gateway = online();
    const taken = Array.from({ length: 8 }, (_, i) => gateway.submit(job(`j${i}`, { remainingMs: 109 }), 0));
    expect(taken.map((effects) => refusalOf(effects) ?? "sent")).toEqual([
      "sent",
      "sent",
      "sent",
      "sent",
      "sent",
      "too_late",
      "too_late",
      "too_late",
    ]);
  });

  test("an urgent job does not take the time of an admitted one", () => {
    const gateway = online();
    gateway.submit(job("running"), 0);
    const urgent = job("urgent", { remainingMs: 49 });
    expect(sentJob(gateway.submit(job("waiting", { remainingMs: 50 }), 0))).toBeDefined();
    expect(refusalOf(gateway.submit(urgent, 0))).toBe("too_late");
    gateway.cancel("waiting", 0);
    expect(sentJob(gateway.submit(urgent, 0))).toBeDefined();
  });

  test("steps down to the deepest rung that fits, never below the lowest allowed", () => {
    const gateway = online();
    expect(sentJob(gateway.submit(job("a", { remainingMs: 8, minRung: 0 }), 0))?.header.rung).toBe(1);
    expect(refusalOf(gateway.submit(job("b", { remainingMs: 8, minRung: 1 }), 0))).toBe("too_late");
    expect(sentJob(gateway.submit(job("c", { remainingMs: 9, minRung: 0 }), 0))?.header.rung).toBe(0);
  });

  test("from a cut, only what resumes from it is possible, at the price of the rest", () => {
    const gateway = online();
    const cut = { shape: [1], code: "f32", scale: 1, zero: 0, deflated: false, bytes: new ArrayBuffer(4) } as const;
    const start = { from: 0, cut: { ...cut, shape: [1] } };
    expect(refusalOf(gateway.submit(job("a", { start, rung: 2, minRung: 2 }), 0))).toBe("unknown_application");
    expect(refusalOf(gateway.submit(job("b", { start, rung: 1, minRung: 1, remainingMs: 4 }), 0))).toBe("too_late");
    expect(
      sentJob(gateway.submit(job("c", { start, rung: 2, minRung: 1, remainingMs: 5.2 }), 0))?.header,
    ).toMatchObject({
      rung: 1,
      from: 0,
    });
  });

  test.each([["nothing"], ["constructor"], ["__proto__"]])("the application %s is unknown", (application) => {
    expect(refusalOf(online().submit(job("a", { application }), 0))).toBe("unknown_application");
  });

  test.each([0, -1, Number.NaN, 0.5])("a remaining time of %d ms is too late", (remainingMs) => {
    expect(refusalOf(online().submit(job("a", { remainingMs, rung: 0, minRung: 0 }), 0))).toBe("too_late");
  });

  test("a ticket in flight is not taken twice, and the first is not disturbed", () => {
    const gateway = online();
    gateway.submit(job("a"), 0);
    const effects = gateway.submit(job("a"), 0);
    expect(refusalOf(effects)).toBe("bad_input");
    expect(only(effects, "settle")).toEqual([]);
    expect(gateway.inFlight).toBe(1);
  });

  test("the ledger is bounded in jobs and in bytes", () => {
    const small = online();
    for (let i = 0; i < MAX_IN_FLIGHT; i++) small.submit(job(`${i}`, { remainingMs: 600_000, rung: 0, minRung: 0 }), 0);
    expect(small.inFlight).toBe(MAX_IN_FLIGHT);
    expect(refusalOf(small.submit(job("more", { remainingMs: 600_000 }), 0))).toBe("busy");

    const large = online();
    const heavy = (bytes: number) =>
      ({ from: "input", input: { datatype: "UINT8", shape: [1], bytes: new ArrayBuffer(bytes) } }) as const;
    const start = { ...heavy(MAX_FRAME_PAYLOAD_BYTES), input: { ...heavy(MAX_FRAME_PAYLOAD_BYTES).input, shape: [1] } };
    const fits = MAX_IN_FLIGHT_BYTES / MAX_FRAME_PAYLOAD_BYTES;
    for (let i = 0; i < fits; i++) expect(sentJob(large.submit(job(`${i}`, { start }), 0))).toBeDefined();
    expect(refusalOf(large.submit(job("more", { start }), 0))).toBe("busy");
    large.cancel("0", 0);
    expect(sentJob(large.submit(job("more", { start }), 0))).toBeDefined();
  });

  test("a node slower than its profile is believed less", () => {
    const gateway = online();
    for (let i = 0, now = 0; i < 60; i++, now += 100) {
      gateway.heard(now);
      const sequence = sentJob(gateway.submit(job(`${i}`), now))?.sequence ?? 0;
      gateway.receive(1, answer(sequence, { computeMs: 3 * MEDIAN_MS[2] }), now + 60);
    }
    const now = 6001;
    expect(gateway.report(now)?.load.slowdown).toBeCloseTo(3, 1);
    gateway.submit(job("rung 0", { rung: 0, minRung: 0 }), now);
    expect(refusalOf(gateway.submit(job("late", { remainingMs: 60 }), now))).toBe("too_late");
    expect(sentJob(gateway.submit(job("early", { remainingMs: 120 }), now))).toBeDefined();
  });

  test("a long way is taken off the deadline", () => {
    const gateway = online();
    for (let i = 0, now = 0; i < 80; i++, now += 200) {
      gateway.heard(now);
      const sequence = sentJob(gateway.submit(job(`${i}`), now))?.sequence ?? 0;
      gateway.receive(1, answer(sequence), now + 60);
    }
    const sent = sentJob(gateway.submit(job("a", { remainingMs: 100 }), 16_001));
    expect(sent?.header.remainingMs).toBeCloseTo(60, 0);
  });

  test("what the agent says it still has before it counts, known here or not", () => {
    const gateway = online();
    const sequence = sentJob(gateway.submit(job("a"), 0))?.sequence ?? 0;
    gateway.receive(1, answer(sequence, { backlogMs: 70 }), 20);
    expect(refusalOf(gateway.submit(job("b", { remainingMs: 80 }), 20))).toBe("too_late");
    expect(sentJob(gateway.submit(job("c", { remainingMs: 80 }), 80))).toBeDefined();
  });
});

test("batching makes the node look as fast as it is, and a lone job no faster", () => {
  const gateway = online({ registration: batching(0.1) });
  for (let i = 0, now = 0; i < 60; i++, now += 100) {
    gateway.heard(now);
    const sequence = sentJob(gateway.submit(job(`${i}`), now))?.sequence ?? 0;
    // Eight at once take 20 + 7 · 2 ms.
    gateway.receive(1, answer(sequence, { computeMs: 34, batch: 8 }), now + 35);
  }
  expect(gateway.report(6000)?.load.slowdown).toBeCloseTo(34 / 8 / 20, 2);
  for (const ticket of ["a", "b", "c", "d"]) {
    expect(sentJob(gateway.submit(job(ticket, { remainingMs: 50 }), 6001))).toBeDefined();
  }
  expect(refusalOf(gateway.submit(job("short", { remainingMs: 15 }), 6001))).toBe("too_late");
});

const MEDIAN_MS_OF_STAGE = [2, 3, 20];

test("what is admitted for a node that keeps to its profile is answered in time", () => {
  const arrival = fc.record({
    afterMs: fc.integer({ min: 0, max: 15 }),
    rung: fc.nat(2),
    remainingMs: fc.integer({ min: 1, max: 120 }),
  });
  let admitted = 0;
  fc.assert(
    fc.property(fc.array(arrival, { maxLength: 60, size: "max" }), (arrivals) => {
      const gateway = online();
      const node = new NodeExecutor(registration(), 1000);
      const dueAt = new Map<number, number>();
      let running: { step: Extract<Step, { do: "run" }>; endsAt: number } | null = null;
      const start = (step: Step | null | undefined, now: number): void => {
        if (step?.do === "run") running = { step, endsAt: now + (MEDIAN_MS_OF_STAGE[step.rung] ?? 0) };
        else expect(step ?? null).toBeNull();
      };
      const runUntil = (until: number): void => {
        while (running && running.endsAt <= until) {
          const { step, endsAt }: { step: Extract<Step, { do: "run" }>; endsAt: number } = running;
          running = null;
          const [next] = node.stageEnded(step.batch, endsAt);
          if (next?.do === "run") {
            start(next, endsAt);
            continue;
          }
          expect(next?.do).toBe("answer");
          const sequence = Number(step.ids[0]);
          expect(endsAt).toBeLessThanOrEqual(dueAt.get(sequence) ?? 0);
          if (next?.do === "answer") {
            const { queueMs, computeMs, batch } = next;
            gateway.receive(
              1,
              answer(sequence, { rung: step.rung, queueMs, computeMs, batch, backlogMs: node.backlogMs(endsAt) }),
              endsAt,
            );
          }
          start(node.dispatch(endsAt), endsAt);
        }
      };
      let now = 0;
      for (const [i, { afterMs, rung, remainingMs }] of arrivals.entries()) {
        runUntil((now += afterMs));
        gateway.heard(now);
        const frame = sentJob(gateway.submit(job(`${i}`, { rung, minRung: rung, remainingMs }), now));
        if (!frame) continue;
        admitted++;
        dueAt.set(frame.sequence, now + remainingMs);
        expect(node.arrive({ ...frame.header, id: String(frame.sequence) }, now)).toEqual({ queued: true });
        if (!running) start(node.dispatch(now), now);
      }
      runUntil(now + 10_000);
      expect(node.size).toBe(0);
      expect(gateway.inFlight).toBe(0);
    }),
    { numRuns: 300 },
  );
  expect(admitted).toBeGreaterThan(3000);
});
