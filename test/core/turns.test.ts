/** Turns at an isolate's processor and the time it plans by, on Node's own timers. */
import { describe, expect, test } from "vitest";
import { PlannedTime } from "../../functions/inference/planned-time.ts";
import { Turns, type StageEnd, type Turn } from "../../functions/inference/turns.ts";
import { ConstantClock, IoClock, SystemClock } from "../../protocol/clock.ts";

const turn = (id: string, deadlineAt: number): Turn => ({
  id,
  deadlineAt,
  workMs: 1,
  claim: { user: "u", weight: 1, priority: "normal" },
  begun: false,
  interruption: null,
  wake: null,
  stage: null,
  running: false,
  handover: null,
});

function turnsWith(...queued: Turn[]): Turns {
  const turns = new Turns(new PlannedTime(new ConstantClock(0)), 100);
  for (const each of queued) turns.queue.insert(each);
  return turns;
}

/** A job of so many stages of 1 ms, each noted in `order`. */
function stages(name: string, count: number, order: string[]): () => Promise<StageEnd> {
  let left = count;
  return async () => {
    order.push(name);
    left--;
    return { ranMs: 1, ended: left === 0 };
  };
}

/** A stage that takes until it is told to end, over several events. */
function heldStage(): { stage: () => Promise<StageEnd>; end: () => void } {
  const { promise, resolve } = Promise.withResolvers<StageEnd>();
  return { stage: () => promise, end: () => resolve({ ranMs: 1, ended: true }) };
}

/** A job in the middle of a stage, and one that waits for the processor. */
async function oneRunsOneWaits() {
  const [running, waiting] = [turn("running", 10), turn("waiting", 20)];
  const turns = turnsWith(running, waiting);
  const held = heldStage();
  const order: string[] = [];
  const ended = turns.run(running, held.stage);
  const waited = turns.run(waiting, stages("waiting", 1, order));
  await events();
  return { turns, running, waiting, held, order, ended, waited };
}

const events = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 5));

describe("turns", () => {
  test("whoever finds the processor free runs all that wait, the earliest deadline first, each stage anew", async () => {
    const jobs = [turn("a", 30), turn("b", 10), turn("c", 20)];
    const turns = turnsWith(...jobs);
    const order: string[] = [];
    await Promise.all(jobs.map((job) => turns.run(job, stages(job.id, 2, order))));
    // The first comer has begun before the others are there.
    expect(order).toEqual(["a", "b", "b", "c", "c", "a"]);
    expect(turns.running).toBe(false);
    expect(turns.queue.length).toBe(0);
    expect(jobs.every(({ begun, stage }) => begun && stage === null)).toBe(true);
  });

  test("other events are let in after a quantum, and then the next that waits serves", async () => {
    const [first, second] = [turn("first", 10), turn("second", 20)];
    const turns = turnsWith(first, second);
    const order: string[] = [];
    let letIn = -1;
    setTimeout(() => (letIn = order.length), 0);
    const both = [turns.run(first, stages("first", 3, order)), turns.run(second, stages("second", 7, order))];
    await both[0];
    // The first is over, its quantum is used up by the second: it stays until the processor has been handed over.
    expect(order).toHaveLength(4);
    expect(turns.running).toBe(true);
    await first.handover;
    expect(letIn).toBe(4);
    await both[1];
    expect(order).toHaveLength(10);
    expect(second.handover).not.toBeNull();
    await second.handover;
    expect(turns.running).toBe(false);
  });

  test("an earlier deadline that comes in between goes first", async () => {
    const [late, early] = [turn("late", 30), turn("early", 10)];
    const turns = turnsWith(late);
    const order: string[] = [];
    const running = turns.run(late, stages("late", 6, order));
    setTimeout(() => {
      turns.queue.insert(early);
      void turns.run(early, stages("early", 2, order));
    }, 0);
    await running;
    expect(order).toEqual(["late", "late", "late", "late", "early", "early", "late", "late"]);
  });

  test("says since when no other events have been let in: over stages, until a quantum is over", async () => {
    let at = 100;
    const turns = new Turns(new PlannedTime(new SystemClock(() => at)), 100);
    const job = turn("job", 10);
    turns.queue.insert(job);
    const since: number[] = [];
    await turns.run(job, async () => {
      since.push(turns.servingSince);
      at += 3;
      return { ranMs: 3, ended: since.length === 4 };
    });
    expect(since).toEqual([100, 100, 106, 106]);
  });

  test("nobody waits for a handing over where nobody else does", async () => {
    const only = turn("only", 10);
    await turnsWith(only).run(only, stages("only", 3, []));
    expect(only.handover).toBeNull();
  });

  test("a job whose stage never comes back does not keep the processor", async () => {
    const gone = turn("gone", 10);
    const next = turn("next", 20);
    const turns = turnsWith(gone, next);
    // It takes the processor and is never heard of again, like a request whose context has ended.
    void turns.run(gone, () => new Promise(() => undefined));
    const order: string[] = [];
    await turns.run(next, stages("next", 2, order));
    expect(order).toEqual(["next", "next"]);
    expect(turns.running).toBe(false);
  });

  test("one that lost the processor that way and comes back serves nobody", async () => {
    const [slow, next, last] = [turn("slow", 10), turn("next", 20), turn("last", 30)];
    const turns = turnsWith(slow, next);
    const [held, nextHeld] = [heldStage(), heldStage()];
    const ended = turns.run(slow, held.stage);
    const nextEnded = turns.run(next, nextHeld.stage);
    while (!next.running) await events();
    turns.queue.insert(last);
    const order: string[] = [];
    const lastEnded = turns.run(last, stages("last", 1, order));
    held.end();
    await ended;
    await events();
    expect(order).toEqual([]);
    nextHeld.end();
    await Promise.all([nextEnded, lastEnded]);
    expect(order).toEqual(["last"]);
  });

  test("an interruption ends who waits, at once, and who runs at its next boundary", async () => {
    const { turns, running, waiting, held, order, ended, waited } = await oneRunsOneWaits();
    turns.interrupt(waiting, "cancelled");
    turns.interrupt(waiting, "expired");
    await waited;
    expect(waiting.interruption).toBe("cancelled");
    expect(turns.queue.length).toBe(0);
    turns.interrupt(running, "cancelled");
    expect(turns.running).toBe(true);
    held.end();
    await ended;
    expect(order).toEqual([]);
    expect(turns.running).toBe(false);
  });

  test("a stage that was to be followed by another is not, once the job is interrupted", async () => {
    const job = turn("job", 10);
    const turns = turnsWith(job);
    const order: string[] = [];
    await turns.run(job, async () => {
      order.push("stage");
      turns.interrupt(job, "expired");
      return { ranMs: 1, ended: false };
    });
    expect(order).toEqual(["stage"]);
    expect(turns.queue.length).toBe(0);
  });

  test("evicted work leaves the queue at once and never runs; what runs has no place to lose", async () => {
    const { turns, running, waiting, held, order, ended, waited } = await oneRunsOneWaits();
    expect([running.begun, waiting.begun]).toEqual([true, false]);
    turns.evict("waiting");
    expect(turns.queue.length).toBe(0);
    await waited;
    expect(waiting).toMatchObject({ interruption: "evicted", begun: false });
    turns.evict("running");
    expect(running.interruption).toBeNull();
    held.end();
    await ended;
    expect(order).toEqual([]);
  });

  test("work that is interrupted before it waits never runs", async () => {
    const job = turn("job", 10);
    const turns = turnsWith(job);
    turns.interrupt(job, "cancelled");
    const order: string[] = [];
    await turns.run(job, stages("job", 1, order));
    expect(order).toEqual([]);
    expect(turns.queue.length).toBe(0);
  });

  test("work whose deadline is long past belongs to nobody and is reaped", () => {
    const turns = turnsWith(turn("old", 10), turn("new", 5000));
    turns.reap(2000);
    expect(turns.queue.waiting.map(({ id }) => id)).toEqual(["new"]);
  });
});

describe("planned time", () => {
  test("where the clock stands still, prediction carries it", () => {
    const time = new PlannedTime(new ConstantClock(100));
    expect(time.now()).toBe(100);
    time.spend(7);
    time.spend(3);
    expect(time.now()).toBe(110);
  });

  test("where the clock runs, it overtakes predictions that were too low", () => {
    let at = 100;
    const time = new PlannedTime(new SystemClock(() => at));
    time.now();
    at = 150;
    time.spend(7);
    expect(time.now()).toBe(150);
  });

  test("an arrival takes back what prediction had added too much", () => {
    let at = 100;
    const time = new PlannedTime(new IoClock(() => at));
    time.now();
    time.spend(50);
    at = 120;
    expect(time.now()).toBe(150);
    expect(time.arrive()).toBe(120);
    expect(time.now()).toBe(120);
  });
});
