/** A node's connection through its life: registration, fencing, silence, drain, revocation, and the circuit breaker. */
import { describe, expect, test } from "vitest";
import { OPEN_AFTER, OPEN_MS } from "../../control/breaker.ts";
import { Gateway, REPORT_EVERY_MS } from "../../control/gateway.ts";
import { Ledger, MAX_LIVES, type Flight } from "../../control/ledger.ts";
import { LIFE_PROBE_MS, SILENT_AFTER_MS } from "../../control/liveness.ts";
import { MAX_SEQUENCE } from "../../protocol/frames.ts";
import { NEW, online, refusalOf } from "./gateway-fixture.ts";
import { alive, answer, drain, hello, job, MEDIAN_MS, only, refusal, sentJob } from "./node-fixture.ts";

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
