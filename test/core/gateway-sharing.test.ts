/** How a gateway shares its node out: by price, by eviction where the queue is full, and every ticket settled once. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Gateway, type GatewayEffect } from "../../control/gateway.ts";
import { SILENT_AFTER_MS } from "../../control/liveness.ts";
import { MAX_IN_FLIGHT } from "../../protocol/limits.ts";
import { NEW, online, refusalOf } from "./gateway-fixture.ts";
import { alive, answer, drain, hello, job, only, refusal, sentJob } from "./node-fixture.ts";

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

let evictions = 0;

/** Drives a gateway by events and keeps the books that the gateway must agree with. */
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

test("under any order of events every ticket taken is settled once and nothing leaks", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEvent, fc.nat(20)), { maxLength: 120, size: "max" }), (events) => {
      const books = new Bookkeeper();
      for (const [event, passMs] of events) books.run(event, passMs);
      books.finish();
    }),
    { numRuns: 600 },
  );
  expect(evictions).toBeGreaterThan(20);
}, 30_000);
