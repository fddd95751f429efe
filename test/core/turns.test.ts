/** Turns at an isolate's processor and the time it plans by, on Node's own timers. */
import { describe, expect, test } from "vitest";
import { PlannedTime } from "../../functions/inference/planned-time.ts";
import { Turns, type Turn } from "../../functions/inference/turns.ts";
import { ConstantClock, IoClock, SystemClock } from "../../protocol/clock.ts";

const turn = (id: string, deadlineAt: number): Turn => ({
  id,
  deadlineAt,
  workMs: 1,
  claim: { user: "u", weight: 1, priority: "normal" },
  begun: false,
  interruption: null,
  wake: null,
  waiting: false,
  handover: null,
});

function turnsWith(...queued: Turn[]): Turns {
  const turns = new Turns(new PlannedTime(new ConstantClock(0)), 100);
  for (const each of queued) turns.queue.insert(each);
  return turns;
}

describe("turns", () => {
  test("the processor goes to one at a time, to the earliest deadline of those that wait", async () => {
    const jobs = [turn("a", 30), turn("b", 10), turn("c", 20)];
    const turns = turnsWith(...jobs);
    const order: string[] = [];
    await Promise.all(
      jobs.map(async (job) => {
        // Two stages each: the first comer runs one before the others are there.
        for (let stage = 0; stage < 2; stage++) {
          expect(await turns.acquire(job)).toBe(true);
          order.push(job.id);
          if (stage === 0) turns.requeue(job);
        }
        turns.release(job);
      }),
    );
    expect(order).toEqual(["a", "b", "b", "c", "c", "a"]);
    expect(turns.running).toBe(false);
    expect(turns.queue.length).toBe(0);
  });

  test("a job that was given the processor and is gone does not keep it", async () => {
    const gone = turn("gone", 10);
    const next = turn("next", 20);
    const turns = turnsWith(gone, next);
    // It takes the processor and is never heard of again, like a request whose context has ended.
    expect(await turns.acquire(gone)).toBe(true);
    expect(await turns.acquire(next)).toBe(true);
    turns.release(next);
    expect(turns.running).toBe(false);
  });

  test("one that lost the processor that way queues up again, and two never hold it", async () => {
    const slow = turn("slow", 10);
    const next = turn("next", 20);
    const turns = turnsWith(slow, next);
    await turns.acquire(slow);
    await turns.acquire(next);
    turns.queue.insert(slow);
    let held = false;
    const again = turns.acquire(slow).then((holds) => (held = holds));
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(held).toBe(false);
    turns.release(next);
    await again;
    expect(held).toBe(true);
    turns.release(slow);
  });

  test("an interruption wakes who waits, and takes it out of the queue", async () => {
    const holder = turn("holder", 10);
    const waiting = turn("waiting", 20);
    const turns = turnsWith(holder, waiting);
    await turns.acquire(holder);
    const outcome = turns.acquire(waiting);
    turns.interrupt(waiting, "cancelled");
    turns.interrupt(waiting, "expired");
    expect(await outcome).toBe(false);
    expect(waiting.interruption).toBe("cancelled");
    expect(turns.queue.length).toBe(0);
    // Who runs is not disturbed; it hears of it at its next boundary.
    turns.interrupt(holder, "cancelled");
    expect(turns.running).toBe(true);
    turns.requeue(holder);
    expect(await turns.acquire(holder)).toBe(false);
    expect(turns.running).toBe(false);
  });

  test("evicted work leaves the queue at once, wakes, and never runs; what has begun is marked so", async () => {
    const holder = turn("holder", 10);
    const waiting = turn("waiting", 20);
    const turns = turnsWith(holder, waiting);
    await turns.acquire(holder);
    const outcome = turns.acquire(waiting);
    expect([holder.begun, waiting.begun]).toEqual([true, false]);
    turns.evict("waiting");
    expect(turns.queue.length).toBe(0);
    turns.release(holder);
    expect(await outcome).toBe(false);
    expect(waiting).toMatchObject({ interruption: "evicted", begun: false });
    expect(turns.queue.length).toBe(0);
    // Who holds the processor is not in the queue: there is nothing to take from it.
    turns.queue.insert(holder);
    holder.interruption = null;
    await turns.acquire(holder);
    turns.evict("holder");
    expect(holder.interruption).toBeNull();
    turns.release(holder);
  });

  test("whoever gives the processor back waits for the handing over where somebody waits, and for nothing where nobody does", async () => {
    const [first, second] = [turn("first", 10), turn("second", 20)];
    const turns = turnsWith(first, second);
    await turns.acquire(first);
    const waiting = turns.acquire(second);
    turns.release(first);
    // Other events come in before the next has it.
    expect(turns.running).toBe(false);
    await first.handover;
    expect(turns.running).toBe(true);
    expect(await waiting).toBe(true);
    turns.release(second);
    expect(second.handover).toBeNull();
    expect(turns.running).toBe(false);
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
