import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OPEN_AFTER, OPEN_MS } from "../../control/breaker.ts";
import { Gateway, REPORT_EVERY_MS, type GatewayEffect, type GatewayMemory } from "../../control/gateway.ts";
import { Ledger, MAX_IN_FLIGHT_BYTES, MAX_LIVES, type Flight } from "../../control/ledger.ts";
import { LIFE_PROBE_MS, SILENT_AFTER_MS } from "../../control/liveness.ts";
import { NodeExecutor, type Step } from "../../control/node-executor.ts";
import { MAX_SEQUENCE } from "../../protocol/frames.ts";
import { MAX_FRAME_PAYLOAD_BYTES, MAX_IN_FLIGHT } from "../../protocol/limits.ts";
import {
  alive,
  answer,
  batching,
  drain,
  hello,
  job,
  MEDIAN_MS,
  only,
  refusal,
  registration,
  sentJob,
} from "./node-fixture.ts";

const NEW: GatewayMemory = { node: "n1", epoch: 0, registration: null, revoked: null };

/** Connected and welcome at time 0. */
function online(over: Parameters<typeof hello>[0] = {}): Gateway {
  const gateway = new Gateway("gw:local:n1", NEW, null, 0);
  gateway.connect("n1", 0);
  gateway.receive(1, hello(over), 0);
  return gateway;
}

const refusalOf = (effects: readonly GatewayEffect[]) => {
  const reply = only(effects, "refuse")[0]?.reply;
  return reply?.kind === "refused" ? reply.code : undefined;
};

describe("registration", () => {
  test("connect raises the epoch, hello is answered with welcome, and the coordinator is told", () => {
    const gateway = new Gateway("gw:local:n1", { ...NEW, epoch: 7 }, null, 0);
    expect(gateway.connect("n1", 0)).toEqual([{ do: "save" }]);
    expect(refusalOf(gateway.submit(job("a"), 0))).toBe("not_connected");
    const effects = gateway.receive(8, hello(), 1);
    expect(only(effects, "send")[0]?.message).toMatchObject({ kind: "welcome", header: { node: "n1", epoch: 8 } });
    expect(only(effects, "report")).toHaveLength(1);
    expect(gateway.report(1)).toMatchObject({
      node: "n1",
      gateway: "gw:local:n1",
      state: "online",
      load: { epoch: 8 },
    });
  });

  test("anything before hello, or a second hello, is a violation that closes the connection", () => {
    const early = new Gateway("g", NEW, null, 0);
    early.connect("n1", 0);
    expect(only(early.receive(1, answer(1), 0), "close")[0]).toMatchObject({ epoch: 1, code: 1008 });
    expect(early.link).toBeNull();
    expect(only(online().receive(1, hello(), 0), "close")[0]).toMatchObject({ epoch: 1, code: 1008 });
  });

  test("work left over from an earlier connection counts", () => {
    const gateway = online({ busyMs: 100 });
    expect(refusalOf(gateway.submit(job("a", { remainingMs: 110 }), 0))).toBe("too_late");
    expect(sentJob(gateway.submit(job("b", { remainingMs: 130 }), 0))).toBeDefined();
  });
});

describe("fencing", () => {
  test("a newer connection closes the older and loses its jobs", () => {
    const gateway = online();
    gateway.submit(job("a"), 0);
    const effects = gateway.connect("n1", 1);
    expect(only(effects, "close")).toEqual([expect.objectContaining({ epoch: 1, code: 4001 })]);
    expect(only(effects, "settle")).toEqual([
      { do: "settle", ticket: "a", reply: expect.objectContaining({ kind: "lost", reason: "superseded" }) as unknown },
    ]);
    expect(gateway.memory.epoch).toBe(2);
  });

  test("what an old connection says or suffers changes nothing", () => {
    const gateway = online();
    gateway.connect("n1", 1);
    gateway.receive(2, hello(), 1);
    const sequence = sentJob(gateway.submit(job("b"), 1))?.sequence ?? 0;
    for (const stale of [answer(sequence), refusal(sequence), drain, hello()])
      expect(gateway.receive(1, stale, 2)).toEqual([]);
    expect(gateway.closed(1, 2)).toEqual([]);
    expect(only(gateway.violation(1, 1002, "junk", 2), "close")).toEqual([
      { do: "close", epoch: 1, code: 1002, reason: "junk" },
    ]);
    expect(gateway.status(2)).toMatchObject({ connected: true, draining: false, inFlight: 1 });
    expect(only(gateway.receive(2, answer(sequence), 2), "settle")[0]).toMatchObject({
      ticket: "b",
      reply: { kind: "answer" },
    });
  });

  test("after a loss of memory the socket works on and old sequences mean nothing", () => {
    const before = online();
    const old = sentJob(before.submit(job("a"), 0))?.sequence ?? 0;
    const link = before.link;
    if (!link) throw new Error("no link");
    const after = new Gateway("gw:local:n1", before.memory, { ...link, life: link.life + 1 }, 10);
    const sequence = sentJob(after.submit(job("b"), 10))?.sequence ?? 0;
    expect(sequence).not.toBe(old);
    expect(only(after.receive(1, answer(old), 11), "settle")).toEqual([]);
    expect(only(after.receive(1, answer(sequence), 12), "settle")).toHaveLength(1);
  });

  test("a socket of an epoch that is not the stored one is not resumed", () => {
    const link = { epoch: 3, life: 0, connectedAt: 0, ready: true, draining: false };
    expect(new Gateway("g", { ...NEW, epoch: 4 }, link, 0).link).toBeNull();
  });
});

describe("answers", () => {
  test.each([0, 2])("an answer of rung %i to a job for rung 1 closes the connection that gave it", (rung) => {
    const gateway = online();
    const sequence = sentJob(gateway.submit(job("a", { rung: 1, minRung: 1 }), 0))?.sequence ?? 0;
    const effects = gateway.receive(1, answer(sequence, { rung }), 1);
    expect(only(effects, "close")[0]).toMatchObject({ epoch: 1, code: 1008 });
    expect(only(effects, "settle")[0]?.reply).toMatchObject({ kind: "lost", reason: "disconnected" });
  });
});

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

describe("liveness", () => {
  test("three missed beats refuse, a beat heals, and each change is reported once", () => {
    const gateway = online();
    gateway.report(0);
    expect(sentJob(gateway.submit(job("a"), SILENT_AFTER_MS))).toBeDefined();
    const silent = gateway.submit(job("b"), SILENT_AFTER_MS + 1);
    expect(refusalOf(silent)).toBe("silent");
    expect(only(silent, "report")).toHaveLength(1);
    expect(gateway.report(SILENT_AFTER_MS + 1)?.state).toBe("offline");
    expect(only(gateway.submit(job("c"), SILENT_AFTER_MS + 2), "report")).toHaveLength(0);
    gateway.heard(SILENT_AFTER_MS + 3);
    const healed = gateway.submit(job("d"), SILENT_AFTER_MS + 4);
    expect(sentJob(healed)).toBeDefined();
    expect(only(healed, "report")).toHaveLength(1);
  });

  test("draining refuses new jobs, says so to the agent, and lets the old ones end", () => {
    const gateway = online();
    const sequence = sentJob(gateway.submit(job("a"), 0))?.sequence ?? 0;
    const effects = gateway.receive(1, drain, 1);
    expect(only(effects, "send").map(({ message }) => message.kind)).toEqual(["drain"]);
    expect(refusalOf(gateway.submit(job("b"), 1))).toBe("draining");
    expect(only(gateway.receive(1, answer(sequence), 2), "settle")[0]).toMatchObject({ ticket: "a" });
    expect(gateway.report(2)?.state).toBe("draining");
  });

  test("revocation outlives connections; certificates issued later are good", () => {
    const gateway = online();
    gateway.submit(job("a"), 1);
    const effects = gateway.revoke(50);
    expect(only(effects, "close")[0]).toMatchObject({ epoch: 1, code: 4003 });
    expect(only(effects, "settle")[0]).toMatchObject({ ticket: "a", reply: { kind: "lost" } });
    expect([gateway.accepts(49), gateway.accepts(50), gateway.accepts(51)]).toEqual([false, false, true]);
    expect(gateway.status(51).revoked).toBe(true);
    expect(gateway.report(51)).toBeNull();
    const restored = new Gateway("g", gateway.memory, null, 60);
    expect(restored.accepts(49)).toBe(false);
    restored.connect("n1", 60);
    expect(restored.status(60).revoked).toBe(false);
  });

  test("under load the coordinator hears at most once a second, of all the work offered", () => {
    const gateway = online();
    gateway.report(0);
    let reports = 0;
    for (let now = 0; now < 5 * REPORT_EVERY_MS; now += 10) {
      gateway.heard(now);
      const effects = gateway.submit(job(`${now}`, { remainingMs: 21 }), now);
      reports += only(effects, "report").length;
    }
    expect(reports).toBeGreaterThanOrEqual(4);
    expect(reports).toBeLessThanOrEqual(5);
    expect(gateway.report(5000)?.offeredMs).toBeCloseTo(500 * MEDIAN_MS[2], 6);
    expect(gateway.report(5000)?.offeredMs).toBe(0);
  });

  test("on a clock that never moves it still admits, answers and refuses", () => {
    const gateway = online();
    const sequence = sentJob(gateway.submit(job("a", { remainingMs: 30 }), 0))?.sequence ?? 0;
    expect(refusalOf(gateway.submit(job("b", { remainingMs: 30 }), 0))).toBe("too_late");
    gateway.receive(1, answer(sequence), 0);
    // A journey of no time teaches nothing: the way is still believed to take its first millisecond.
    expect(sentJob(gateway.submit(job("c", { remainingMs: 30 }), 0))?.header.remainingMs).toBe(29);
    const { load } = gateway.report(0) ?? {};
    expect(load && [load.slowdown, ...load.backlogMs].every(Number.isFinite)).toBe(true);
  });
});

describe("a node that falls silent", () => {
  test("is asked once, and lives on when it answers in time", () => {
    const gateway = online();
    const asked = gateway.tick(SILENT_AFTER_MS + 1);
    expect(only(asked, "send").map(({ message }) => message.kind)).toEqual(["probe"]);
    expect(only(asked, "wake")).toEqual([{ do: "wake", afterMs: LIFE_PROBE_MS }]);
    expect(only(gateway.tick(SILENT_AFTER_MS + 2), "send")).toEqual([]);
    gateway.receive(1, alive, SILENT_AFTER_MS + LIFE_PROBE_MS);
    expect(gateway.tick(SILENT_AFTER_MS + 1 + LIFE_PROBE_MS)).toEqual([]);
    expect(gateway.report(SILENT_AFTER_MS + LIFE_PROBE_MS + 1)?.state).toBe("online");
  });

  test("is asked again when it falls silent again", () => {
    const gateway = online();
    gateway.tick(SILENT_AFTER_MS + 1);
    gateway.receive(1, alive, SILENT_AFTER_MS + 2);
    const again = gateway.tick(2 * SILENT_AFTER_MS + 3);
    expect(only(again, "send").map(({ message }) => message.kind)).toEqual(["probe"]);
    expect(only(again, "close")).toEqual([]);
  });

  test("is given up when it does not: in-flight work is lost, the connection closed and fenced, the coordinator told", () => {
    const gateway = online();
    const sequence = sentJob(gateway.submit(job("a", { remainingMs: 60_000 }), 0))?.sequence ?? 0;
    gateway.tick(SILENT_AFTER_MS + 1);
    const dead = gateway.tick(SILENT_AFTER_MS + 1 + LIFE_PROBE_MS);
    expect(only(dead, "close")[0]).toMatchObject({ epoch: 1, code: 4002 });
    expect(only(dead, "settle")[0]).toMatchObject({ ticket: "a", reply: { kind: "lost", reason: "disconnected" } });
    expect(only(dead, "report")).toHaveLength(0);
    expect(gateway.report(SILENT_AFTER_MS + 2 + LIFE_PROBE_MS)?.state).toBe("offline");
    expect(gateway.receive(1, answer(sequence), 4000)).toEqual([]);
    expect(refusalOf(gateway.submit(job("b"), 4000))).toBe("not_connected");
  });

  test("renewing tells the coordinator whatever else happened", () => {
    const gateway = online();
    gateway.heard(30_000);
    expect(only(gateway.renew(30_000), "report")).toHaveLength(1);
    gateway.heard(30_000);
    expect(only(gateway.renew(30_001), "report")).toHaveLength(1);
  });
});

describe("price", () => {
  /** Offers `perWindow` jobs of 20 ms in each window of 100 ms; the node keeps up with what it takes. */
  function load(gateway: Gateway, perWindow: number, windows: number, from: number): number {
    let now = from;
    for (let i = 0; i < windows * perWindow; i++) {
      now = from + (i * 100) / perWindow;
      gateway.heard(now);
      const frame = sentJob(gateway.submit(job(`${now}`, { remainingMs: 30 }), now));
      if (frame) gateway.receive(1, answer(frame.sequence), now);
    }
    return now;
  }

  test("rises while more is offered than the node should carry, refused work counted; falls to nothing when idle", () => {
    const gateway = online();
    const priceAt = (now: number) => gateway.report(now)?.load.price ?? -1;
    const end = load(gateway, 4, 20, 0);
    expect(priceAt(end)).toBe(0);
    const busy = load(gateway, 10, 20, end + 100);
    const price = priceAt(busy);
    expect(price).toBeGreaterThan(0);
    expect(priceAt(busy + 500)).toBeLessThan(price);
    expect(priceAt(busy + 60_000)).toBe(0);
  });

  test("every reply and refusal carries it", () => {
    const gateway = online();
    const now = load(gateway, 10, 20, 0);
    const refused = only(gateway.submit(job("late", { remainingMs: 1 }), now), "refuse")[0]?.reply;
    expect(refused?.view.price).toBeGreaterThan(0);
    expect(refused?.view.price).toBe(gateway.report(now)?.load.price);
  });
});

describe("sharing a full queue out", () => {
  const of = (user: string, over: Partial<Parameters<typeof job>[1]> = {}) => ({
    claim: { user, weight: 1, priority: "normal" as const },
    ...over,
  });

  /** One user has filled the queue: one job runs, five wait, and not one more is in time. */
  function filled(): Gateway {
    const gateway = online();
    for (let i = 0; i < 6; i++) gateway.submit(job(`greedy ${i}`, of("greedy", { remainingMs: 130 })), 0);
    expect(gateway.inFlight).toBe(6);
    expect(refusalOf(gateway.submit(job("more", of("greedy", { remainingMs: 130 })), 0))).toBe("too_late");
    return gateway;
  }

  test("a light user takes a waiting place of a heavy one, whose caller hears at once and whose agent is told", () => {
    const gateway = filled();
    const effects = gateway.submit(job("light", of("light", { remainingMs: 130 })), 0);
    const [settled] = only(effects, "settle");
    expect(settled?.reply).toMatchObject({ kind: "refused", code: "evicted" });
    expect(settled?.ticket).toMatch(/^greedy [1-5]$/);
    expect(only(effects, "send").map(({ message }) => message.kind)).toEqual(["cancel", "job"]);
    expect(gateway.inFlight).toBe(6);
  });

  test("running work stays, and the heavy user cannot take the place back", () => {
    const gateway = filled();
    const evicted: string[] = [];
    for (let i = 0; i < 8; i++) {
      const effects = gateway.submit(job(`light ${i}`, of("light", { remainingMs: 130 })), 0);
      evicted.push(...only(effects, "settle").map(({ ticket }) => ticket));
    }
    // Four to two; a third would leave three to three, and near equal shares nobody gives way.
    expect(evicted).toHaveLength(2);
    expect(evicted).not.toContain("greedy 0");
    const back = gateway.submit(job("back", of("greedy", { remainingMs: 130 })), 0);
    expect([refusalOf(back), only(back, "settle").length]).toEqual(["too_late", 0]);
  });

  test("nobody's whole answer is given up for a deeper rung: a light user steps down first", () => {
    const gateway = filled();
    const effects = gateway.submit(job("light", of("light", { remainingMs: 135, minRung: 0 })), 0);
    expect(sentJob(effects)?.header.rung).toBe(0);
    expect(only(effects, "settle")).toEqual([]);
  });

  test("a full ledger is shared out alike", () => {
    const gateway = online();
    for (let i = 0; i < MAX_IN_FLIGHT; i++) {
      gateway.submit(job(`${i}`, of("greedy", { remainingMs: 600_000, rung: 0, minRung: 0 })), 0);
    }
    expect(refusalOf(gateway.submit(job("more", of("greedy", { remainingMs: 600_000 })), 0))).toBe("busy");
    const effects = gateway.submit(job("light", of("light", { remainingMs: 600_000 })), 0);
    expect([refusalOf(effects), only(effects, "settle").length]).toEqual([undefined, 1]);
  });
});

describe("circuit breaker", () => {
  /** Lets jobs run out of time one after the other, `gapMs` apart; returns when the last did. */
  function timeouts(gateway: Gateway, count: number, from: number): number {
    let now = from;
    for (let i = 0; i < count; i++) {
      gateway.heard(now);
      expect(sentJob(gateway.submit(job(`out ${now}`, { remainingMs: 50 }), now))).toBeDefined();
      now += 50;
      gateway.expire(`out ${now - 50}`, now);
    }
    return now;
  }

  test("after timeouts in a row nothing is sent for a moment, then one job at a time until one is answered", () => {
    const gateway = online();
    const now = timeouts(gateway, OPEN_AFTER, 0);
    expect(refusalOf(gateway.submit(job("too soon"), now + OPEN_MS - 1))).toBe("unwell");
    const later = now + OPEN_MS;
    const sequence = sentJob(gateway.submit(job("trial"), later))?.sequence ?? 0;
    expect(refusalOf(gateway.submit(job("second"), later))).toBe("unwell");
    gateway.receive(1, answer(sequence), later + 20);
    for (const ticket of ["a", "b"]) expect(sentJob(gateway.submit(job(ticket), later + 20))).toBeDefined();
  });

  test("a trial that runs out of time opens it again; one that is refused or cancelled only ends", () => {
    const gateway = online();
    let now = timeouts(gateway, OPEN_AFTER, 0) + OPEN_MS;
    now = timeouts(gateway, 1, now);
    expect(refusalOf(gateway.submit(job("a"), now + OPEN_MS - 1))).toBe("unwell");
    now += OPEN_MS;
    gateway.heard(now);
    gateway.submit(job("b"), now);
    gateway.cancel("b", now + 1);
    const sequence = sentJob(gateway.submit(job("c"), now + 100))?.sequence ?? 0;
    expect(sequence).toBeGreaterThan(0);
    gateway.receive(1, refusal(sequence), now + 101);
    expect(sentJob(gateway.submit(job("d"), now + 101))).toBeDefined();
    expect(refusalOf(gateway.submit(job("e"), now + 101))).toBe("unwell");
  });

  test("an answer in between starts the count anew; a cancellation after the deadline counts as time run out", () => {
    const gateway = online();
    let now = timeouts(gateway, OPEN_AFTER - 1, 0);
    const sequence = sentJob(gateway.submit(job("ok"), now))?.sequence ?? 0;
    gateway.receive(1, answer(sequence), now + 20);
    now = timeouts(gateway, OPEN_AFTER - 1, now + 100);
    gateway.submit(job("left", { remainingMs: 50 }), now);
    gateway.cancel("left", now + 50);
    expect(refusalOf(gateway.submit(job("a"), now + 51))).toBe("unwell");
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

type Event =
  | { on: "join" | "connect" | "drain" | "revoke" | "hello" | "alive" | "tick" | "renew" | "silence" }
  | { on: "submit"; rung: number; remainingMs: number; user: number; priority: "low" | "normal" | "high" }
  | { on: "answer" | "refusal" | "cancel" | "expire"; which: number; epochBack: number }
  | { on: "closed" | "violation"; epochBack: number };

const which = fc.nat(15);
/** Mostly the connection that the message belongs to. */
const epochBack = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 2 }) },
);
const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ on: fc.constant("join" as const) }) },
  { weight: 1, arbitrary: fc.record({ on: fc.constantFrom("connect", "hello", "drain", "revoke", "silence") }) },
  { weight: 3, arbitrary: fc.record({ on: fc.constantFrom("alive", "tick", "renew") }) },
  {
    weight: 30,
    arbitrary: fc.record({
      on: fc.constant("submit" as const),
      rung: fc.nat(3),
      remainingMs: fc.integer({ min: 0, max: 300 }),
      // Mostly one greedy user, so that the others come to be light.
      user: fc.oneof(
        { weight: 4, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }) },
      ),
      priority: fc.constantFrom("low", "normal", "high"),
    }),
  },
  { weight: 15, arbitrary: fc.record({ on: fc.constantFrom("answer", "refusal"), which, epochBack }) },
  { weight: 10, arbitrary: fc.record({ on: fc.constantFrom("cancel", "expire"), which, epochBack }) },
  {
    weight: 1,
    arbitrary: fc.record({ on: fc.constantFrom("closed", "violation"), epochBack: fc.integer({ min: 0, max: 3 }) }),
  },
);

/** Drives a gateway by events and keeps the books that the gateway must agree with. */
let evictions = 0;
class Bookkeeper {
  readonly gateway = new Gateway("gw:local:n1", NEW, null, 0);
  readonly open = new Map<string, { sequence: number; epoch: number }>();
  readonly #ever: { ticket: string; sequence: number; epoch: number; rung: number }[] = [];
  #now = 0;
  #tickets = 0;

  run(event: Event, passMs: number): void {
    this.#now += passMs;
    this.#book(this.#apply(event));
    expect(this.gateway.inFlight).toBe(this.open.size);
    for (const { epoch } of this.open.values()) expect(epoch).toBe(this.gateway.link?.epoch);
  }

  /** Every ticket's time passes. */
  finish(): void {
    this.#now += 1000;
    for (const ticket of this.open.keys()) this.#book(this.gateway.expire(ticket, this.#now));
    expect(this.gateway.inFlight).toBe(0);
    if (!this.gateway.memory.registration) return;
    // What was abandoned may still keep the node busy; after its predicted time nothing may be left.
    const later = this.#now + 100_000;
    const backlog = (now: number) => this.gateway.report(now)?.load.backlogMs.reduce((sum, ms) => sum + ms, 0);
    expect(backlog(later)).toBe(0);
    // And the model still works through what it is given: half of a new job is done after half of its time.
    this.gateway.heard(later);
    if (!sentJob(this.gateway.submit(job("probe"), later))) return;
    const workMs = backlog(later) ?? 0;
    expect(backlog(later + workMs / 2)).toBeCloseTo(workMs / 2, 6);
  }

  #apply(event: Event): GatewayEffect[] {
    const { gateway } = this;
    const now = this.#now;
    const { epoch } = gateway.memory;
    switch (event.on) {
      case "join":
        return [...gateway.connect("n1", now), ...gateway.receive(epoch + 1, hello(), now)];
      case "connect":
        return gateway.connect("n1", now);
      case "hello":
        return gateway.receive(epoch, hello(), now);
      case "drain":
        return gateway.receive(epoch, drain, now);
      case "revoke":
        return gateway.revoke(now);
      case "alive":
        return gateway.receive(epoch, alive, now);
      case "tick":
        return gateway.tick(now);
      case "renew":
        return gateway.renew(now);
      case "silence":
        this.#now += SILENT_AFTER_MS + 1;
        return [];
      case "submit":
        return this.#submit(event);
      case "closed":
        return gateway.closed(epoch - event.epochBack, now);
      case "violation":
        return gateway.violation(epoch - event.epochBack, 1002, "junk", now);
      default:
        return this.#about(event, this.#ever.at(-1 - event.which));
    }
  }

  #submit({ rung, remainingMs, user, priority }: Extract<Event, { on: "submit" }>): GatewayEffect[] {
    const ticket = `t${this.#tickets++}`;
    const claim = { user: `u${user}`, weight: 1, priority };
    const wanted = job(ticket, { rung, minRung: Math.min(rung, 1), remainingMs, claim });
    const effects = this.gateway.submit(wanted, this.#now);
    const frame = sentJob(effects);
    expect(Boolean(frame) !== Boolean(only(effects, "refuse").length)).toBe(true);
    if (frame) {
      const entry = { ticket, sequence: frame.sequence, epoch: this.gateway.memory.epoch, rung: frame.header.rung };
      for (const other of this.open.values()) expect(other.sequence).not.toBe(frame.sequence);
      this.open.set(ticket, entry);
      this.#ever.push(entry);
    }
    return effects;
  }

  #about(
    event: Extract<Event, { which: number }>,
    about: { ticket: string; sequence: number; epoch: number; rung: number } | undefined,
  ) {
    if (!about) return [];
    if (event.on === "cancel") return this.gateway.cancel(about.ticket, this.#now);
    if (event.on === "expire") return this.gateway.expire(about.ticket, this.#now);
    const epoch = about.epoch - event.epochBack;
    const message = event.on === "answer" ? answer(about.sequence, { rung: about.rung }) : refusal(about.sequence);
    const effects = this.gateway.receive(epoch, message, this.#now);
    if (epoch !== this.gateway.memory.epoch) expect(effects).toEqual([]);
    return effects;
  }

  #book(effects: readonly GatewayEffect[]): void {
    for (const { ticket, reply } of only(effects, "settle")) {
      expect(this.open.delete(ticket), `${ticket} settled while it was not open`).toBe(true);
      if (reply.kind === "refused" && reply.code === "evicted") evictions++;
      expect(reply.view.backlogMs.every((ms) => ms >= 0 && Number.isFinite(ms))).toBe(true);
    }
  }
}

test("sequences go round within a life without meeting one in flight, 0, or those of another life", () => {
  const ledger = new Ledger(0);
  const flight: Flight = {
    id: "t",
    deadlineAt: 0,
    workMs: 1,
    sequence: ledger.nextSequence(),
    application: "a",
    from: "input",
    rung: 0,
    minRung: 0,
    sentAt: 0,
    bytes: 0,
    claim: { user: "u", weight: 1, priority: "normal" },
    chargedMs: 1,
  };
  ledger.add(flight);
  let highest = 0;
  for (let i = 0; i < 2 ** 20 + 5; i++) {
    const sequence = ledger.nextSequence();
    if (sequence === 0 || sequence === flight.sequence) throw new Error(`${sequence} was given again`);
    highest = Math.max(highest, sequence);
  }
  expect(new Ledger(1).nextSequence()).toBeGreaterThan(highest);
  expect(new Ledger(MAX_LIVES - 1).nextSequence()).toBeLessThanOrEqual(MAX_SEQUENCE);
});

test("under any order of events every ticket taken is settled once and nothing leaks", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEvent, fc.nat(20)), { maxLength: 120, size: "max" }), (events) => {
      const books = new Bookkeeper();
      for (const [event, passMs] of events) books.run(event, passMs);
      books.finish();
    }),
    { numRuns: 300 },
  );
  expect(evictions).toBeGreaterThan(20);
}, 30_000);

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

const MEDIAN_MS_OF_STAGE = [2, 3, 20];
