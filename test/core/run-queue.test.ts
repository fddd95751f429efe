import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RunQueue, type QueuedWork } from "../../control/run-queue.ts";

/** Work that arrives at `at`, needs `workMs` and must be done `slackMs` after it could be at the earliest. */
const arrivals = fc
  .array(
    fc.record({
      at: fc.integer({ min: 0, max: 200 }),
      workMs: fc.integer({ min: 1, max: 20 }),
      slackMs: fc.integer({ min: 0, max: 60 }),
    }),
    { maxLength: 40 },
  )
  .map((list) => [...list].sort((a, b) => a.at - b.at));

type Piece = QueuedWork & { leftMs: number };

/**
 * Runs what is admitted, one millisecond at a time, as a processor does that may change jobs at each millisecond.
 * Returns when each admitted piece was finished, and how many were refused.
 */
function simulate(list: { at: number; workMs: number; slackMs: number }[]) {
  const queue = new RunQueue<Piece>(Number.POSITIVE_INFINITY);
  const finished: { piece: Piece; at: number }[] = [];
  let refused = 0;
  let next = 0;
  for (let now = 0; next < list.length || queue.length > 0; now++) {
    for (let arrival = list[next]; arrival?.at === now; arrival = list[++next]) {
      const deadlineAt = now + arrival.workMs + arrival.slackMs;
      const piece = { id: `${next}`, deadlineAt, workMs: arrival.workMs, leftMs: arrival.workMs };
      if (queue.admits(piece, now)) queue.insert(piece);
      else refused++;
    }
    const piece = queue.takeFirst();
    if (!piece) continue;
    piece.leftMs--;
    if (piece.leftMs === 0) finished.push({ piece, at: now + 1 });
    else {
      piece.workMs = piece.leftMs;
      queue.insert(piece);
    }
  }
  return { finished, refused };
}

test("what was admitted on exact times never misses its deadline", () => {
  let refusals = 0;
  fc.assert(
    fc.property(arrivals, (list) => {
      const { finished, refused } = simulate(list);
      refusals += refused;
      expect(finished.length + refused).toBe(list.length);
      for (const { piece, at } of finished) expect(at).toBeLessThanOrEqual(piece.deadlineAt);
    }),
    { numRuns: 300 },
  );
  // The property would hold of a queue that refuses everything, or of arrivals that never meet.
  expect(refusals).toBeGreaterThan(0);
});

test("nothing is refused that could be made: admission fails only where some deadline would", () => {
  fc.assert(
    fc.property(arrivals, (list) => {
      const queue = new RunQueue<QueuedWork>(Number.POSITIVE_INFINITY);
      list.forEach(({ workMs, slackMs }, i) => {
        const work = { id: `${i}`, deadlineAt: workMs + slackMs, workMs };
        const all = [...queue.waiting, work].sort((a, b) => a.deadlineAt - b.deadlineAt);
        let at = 0;
        const feasible = all.every((entry) => (at += entry.workMs) <= entry.deadlineAt);
        expect(queue.admits(work, 0)).toBe(feasible);
        if (feasible) queue.insert(work);
      });
    }),
  );
});

test("the queue is ordered by deadline, first come first among equals", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 5 })), (deadlines) => {
      const queue = new RunQueue<QueuedWork & { order: number }>(1000);
      deadlines.forEach((deadlineAt, order) => queue.insert({ id: `${order}`, deadlineAt, workMs: 1, order }));
      const wanted = deadlines.map((deadlineAt, order) => ({ deadlineAt, order }));
      wanted.sort((a, b) => a.deadlineAt - b.deadlineAt || a.order - b.order);
      expect(queue.waiting.map(({ deadlineAt, order }) => ({ deadlineAt, order }))).toEqual(wanted);
    }),
  );
});

describe("the work ahead, the slack and the limit", () => {
  test("slack is what is left before the own deadline and before every later one", () => {
    const queue = new RunQueue<QueuedWork>(10);
    expect(queue.slackMs(50, 0)).toBe(50);
    queue.insert({ id: "a", deadlineAt: 30, workMs: 10 });
    queue.insert({ id: "b", deadlineAt: 60, workMs: 25 });
    expect(queue.slackMs(20, 0)).toBe(20);
    expect(queue.slackMs(40, 0)).toBe(25);
    expect(queue.slackMs(100, 0)).toBe(65);
    expect(queue.aheadMs(40, 0)).toBe(10);
    expect(queue.totalMs(0)).toBe(35);
  });

  test("the running piece counts until its predicted end, and not a moment longer", () => {
    const queue = new RunQueue<QueuedWork>(10);
    queue.occupy(0, 20);
    expect(queue.slackMs(50, 5)).toBe(30);
    expect(queue.busyMs(25)).toBe(0);
    queue.occupy(5, 0);
    expect(queue.slackMs(50, 5)).toBe(45);
  });

  test("work already late takes no one else's rights", () => {
    const queue = new RunQueue<QueuedWork>(10);
    queue.insert({ id: "late", deadlineAt: 10, workMs: 30 });
    expect(queue.admits({ id: "x", deadlineAt: 5, workMs: 5 }, 0)).toBe(true);
    expect(queue.admits({ id: "y", deadlineAt: 40, workMs: 11 }, 0)).toBe(false);
  });

  test("a full queue admits nothing; removed work makes room", () => {
    const queue = new RunQueue<QueuedWork>(1);
    queue.insert({ id: "a", deadlineAt: 1000, workMs: 1 });
    expect(queue.admits({ id: "b", deadlineAt: 1000, workMs: 1 }, 0)).toBe(false);
    expect(queue.remove("b")).toBeUndefined();
    expect(queue.remove("a")?.id).toBe("a");
    expect(queue.admits({ id: "b", deadlineAt: 1000, workMs: 1 }, 0)).toBe(true);
  });
});
