/** An isolate's door: the demand test, who gives way to whom, what moves the price. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EdgeAdmission, RESERVE, type EdgeAsk, type EdgeWork } from "../../control/edge-admission.ts";
import { EdgePace } from "../../control/edge-pace.ts";
import { PRICE_WINDOW_MS } from "../../control/price.ts";
import { RunQueue } from "../../control/run-queue.ts";
import type { Claim } from "../../protocol/fleet.ts";
import type { ExitResult } from "../../protocol/plan.ts";
import { ladder } from "../support/ladder.ts";

/** Three edge exits of 1 ms each. */
const application = ladder();
const LIMIT = 100;

const claimOf = (user: string, over: Partial<Claim> = {}): Claim => ({ user, weight: 1, priority: "normal", ...over });

const askFor = (claim: Claim, rung = 2, minRung = 0, exits: ExitResult[] = []): EdgeAsk => ({
  application,
  claim,
  progress: { option: 0, from: "input", exits, evidence: [] },
  plan: {
    planId: "p",
    options: [{ rung, minRung, at: { tier: "edge" }, from: "input", predictedMs: rung + 1, workMs: rung + 1 }],
    first: 0,
    next: [0, 1, 2].map(() => [0, 0, 0]),
    otherwise: [-1],
    marginMs: 0,
    edgeSlowdown: 1,
    weight: 1,
    reason: "",
  },
});

/** Room in the queue for so much profile work. */
const room = (profileMs: number): number => RESERVE * profileMs + 1e-9;

/** A door with a queue behind it, as the executor keeps one. */
function door(limit = LIMIT) {
  const admission = new EdgeAdmission([application], limit);
  const queue = new RunQueue<EdgeWork>(limit);
  let count = 0;
  return {
    admission,
    queue,
    knock: (ask: EdgeAsk, deadlineAt: number, now = 0) => {
      const { step, evicted } = admission.admit(ask, queue, deadlineAt, now);
      if (step?.kind !== "run") return { in: false as const, evicted };
      for (const id of evicted) queue.remove(id);
      const work: EdgeWork = {
        id: `${count++}`,
        deadlineAt,
        workMs: admission.queuedMs(step.workMs),
        claim: ask.claim,
        begun: false,
      };
      queue.insert(work);
      admission.charge(ask.claim, work.workMs, now);
      return { in: true as const, target: step.target, evicted, work };
    },
  };
}

/** Everything admitted makes its deadline if the queue is worked off from `now` on. */
function feasible(queue: RunQueue<EdgeWork>, now: number): boolean {
  let at = now;
  return queue.waiting.every(({ workMs, deadlineAt }) => (at += workMs) <= deadlineAt + 1e-9);
}

describe("eviction", () => {
  test("a light user who would be refused takes the place of a heavy one's waiting work", () => {
    const { knock, queue } = door();
    for (let i = 0; i < 4; i++) expect(knock(askFor(claimOf("heavy"), 2, 2), room(12))).toMatchObject({ in: true });
    expect(knock(askFor(claimOf("heavy"), 2, 2), room(12))).toEqual({ in: false, evicted: [] });
    expect(knock(askFor(claimOf("light"), 2, 2), room(12))).toMatchObject({ in: true, target: 2, evicted: ["0"] });
    expect(queue.length).toBe(4);
    expect(feasible(queue, 0)).toBe(true);
  });

  test("nobody gives way where a cheaper rung fits, nor to who has used as much", () => {
    const { knock } = door();
    for (let i = 0; i < 3; i++) knock(askFor(claimOf("heavy"), 2, 2), room(10));
    expect(knock(askFor(claimOf("light")), room(10))).toMatchObject({ in: true, target: 0, evicted: [] });
    expect(knock(askFor(claimOf("a"), 2, 2), room(12))).toMatchObject({ in: true, evicted: ["0"] });
    for (let i = 0; i < 5; i++) knock(askFor(claimOf("a"), 0), 1e6);
    expect(knock(askFor(claimOf("a"), 2, 2), room(10))).toEqual({ in: false, evicted: [] });
  });

  test("what has begun stays; low priority goes first", () => {
    const { knock } = door();
    const first = knock(askFor(claimOf("heavy"), 2, 2), room(12));
    if (!first.in) throw new Error("expected to be let in");
    first.work.begun = true;
    knock(askFor(claimOf("heavy", { priority: "high" }), 2, 2), room(12));
    knock(askFor(claimOf("heavy"), 2, 2), room(12));
    knock(askFor(claimOf("heavy", { priority: "low" }), 2, 2), room(12));
    expect(knock(askFor(claimOf("light"), 2, 2), room(12))).toMatchObject({ in: true, evicted: ["3"] });
    expect(knock(askFor(claimOf("other"), 2, 2), room(12))).toMatchObject({ in: true, evicted: ["2"] });
  });

  test("a full house makes room the same way", () => {
    const { knock, queue } = door(3);
    for (let i = 0; i < 3; i++) knock(askFor(claimOf("heavy")), 1000);
    expect(knock(askFor(claimOf("heavy")), 1000).in).toBe(false);
    expect(knock(askFor(claimOf("light"), 0), 1000)).toMatchObject({ in: true });
    expect(queue.length).toBe(3);
  });

  test("whatever comes, what is in the queue makes its deadline, and only others' unbegun work is evicted", () => {
    const arrival = fc.record({
      user: fc.constantFrom("a", "b", "c"),
      rung: fc.integer({ min: 0, max: 2 }),
      floor: fc.integer({ min: 0, max: 2 }),
      inMs: fc.integer({ min: 0, max: 40 }),
      priority: fc.constantFrom("low" as const, "normal" as const, "high" as const),
      slowdown: fc.constantFrom(0.5, 1, 3),
    });
    fc.assert(
      fc.property(fc.array(arrival, { maxLength: 40 }), (arrivals) => {
        const { knock, queue, admission } = door(12);
        for (const { user, rung, floor, inMs, priority, slowdown } of arrivals) {
          const before = new Map(queue.waiting.map((work) => [work.id, work]));
          admission.arrived(slowdown, 0, 0);
          const claim = claimOf(user, { priority });
          const { evicted } = knock(askFor(claim, rung, Math.min(rung, floor)), inMs);
          for (const id of evicted) expect(before.get(id)?.claim.user).not.toBe(user);
          expect(queue.length).toBeLessThanOrEqual(12);
          expect(feasible(queue, 0)).toBe(true);
        }
      }),
    );
  });
});

describe("price", () => {
  const later = PRICE_WINDOW_MS;

  test("counts a refused job whole, an admitted one stage by stage as its plan asks", () => {
    const price = (ask: (admission: ReturnType<typeof door>) => void): number => {
      const at = door();
      ask(at);
      return at.admission.price(later);
    };
    const times = (n: number, ask: EdgeAsk, deadlineAt: number) => (at: ReturnType<typeof door>) => {
      for (let i = 0; i < n; i++) at.knock(ask, deadlineAt);
    };
    const refused = price(times(40, askFor(claimOf("a"), 2, 2), 1));
    expect(refused).toBeGreaterThan(0);
    expect(price(times(40, askFor(claimOf("a"), 2, 2), 1e6))).toBe(0);
    expect(price(times(100, askFor(claimOf("a"), 2, 2), 1e6))).toBeGreaterThan(0);
    const deep = askFor(claimOf("a"), 2, 2, [{ exit: 0, bin: 0, confidence: 0.4, top: [] }]);
    const boundary = (at: ReturnType<typeof door>): void => {
      times(40, askFor(claimOf("a"), 2, 2), 1e6)(at);
      for (let i = 0; i < 80; i++) at.admission.offerNext(deep, 0);
    };
    expect(price(boundary)).toBeCloseTo(refused, 9);
  });

  test("is bounded in the machine's own milliseconds, and returns to nothing", () => {
    const bound = (slowdown: number): number => {
      const { admission, knock } = door();
      for (let i = 0; i < 500; i++) admission.arrived(slowdown, 0, 0);
      let now = 0;
      for (; now < 1000; now += 10) for (let i = 0; i < 40; i++) knock(askFor(claimOf("a"), 2, 2), now + 1, now);
      const high = admission.price(now);
      expect(admission.price(now + 600_000)).toBe(0);
      return high;
    };
    expect(bound(1)).toBeGreaterThan(0);
    expect(bound(4)).toBeCloseTo(bound(1) / 4, 6);
  });
});

describe("pace", () => {
  test("begins at the profile, follows what is told, and one voice far off moves it little", () => {
    const pace = new EdgePace();
    expect(pace.slowdown).toBe(1);
    for (let i = 0; i < 100; i++) pace.tell(2);
    expect(pace.slowdown).toBeCloseTo(2, 1);
    pace.tell(30);
    expect(pace.slowdown).toBeLessThan(2.5);
    for (const nonsense of [Number.NaN, Number.POSITIVE_INFINITY]) pace.tell(nonsense);
    for (let i = 0; i < 1000; i++) pace.tell(-1);
    expect(pace.slowdown).toBeCloseTo(0.1, 3);
  });

  test("what it has measured while busy counts more than what it was told; idle time is no measure", () => {
    const pace = new EdgePace();
    for (let i = 0; i < 100; i++) pace.tell(2);
    pace.arrived(1000, 10);
    pace.arrived(1030, 16);
    expect(pace.slowdown).toBeCloseTo(2, 1);
    pace.arrived(1060, 22);
    expect(pace.slowdown).toBeCloseTo(5, 6);
    pace.idle();
    pace.arrived(9000, 22);
    pace.arrived(9000, 22);
    expect(pace.slowdown).toBeCloseTo(5, 6);
    for (let i = 1; i < 100; i++) pace.arrived(9000 + 60 * i, 22 + 6 * i);
    expect(pace.slowdown).toBeCloseTo(10, 1);
  });

  test("a slower machine lets in less work, in its own time", () => {
    const { admission, knock } = door();
    for (let i = 0; i < 500; i++) admission.arrived(2, 0, 0);
    expect(knock(askFor(claimOf("a"), 2), room(5))).toMatchObject({ in: true, target: 1 });
    expect(admission.predictedMs(3)).toBeCloseTo(6, 2);
    expect(admission.fittingMs(admission.queuedMs(3))).toBeCloseTo(3, 9);
  });
});
