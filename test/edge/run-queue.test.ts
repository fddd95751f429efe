/**
 * One isolate, many requests: order, refusal, cancellation and callers that leave, across a service binding between
 * two Workers. Each job passes through five stages, of which four take some milliseconds each.
 */
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestHarness } from "wrangler";
import { RESERVE } from "../../control/edge-admission.ts";
import type { IsolateReport, RunResult } from "../../protocol/inference.ts";

type JobWish = { rung: number; minRung: number; remainingMs: number; cancel?: boolean; user?: string };

/** The last rung of the fixture application, and the profile of each of its slow stages; as in test/onnx/bundle.ts. */
const LAST = 4;
const STAGE_MS = 400;
const WHOLE_MS = RESERVE * LAST * STAGE_MS;

const configPath = (name: string): string => path.join(import.meta.dirname, "../onnx", name);

/** The isolate is idle: no job holds the processor or waits for it. */
const idle = { queued: 0, running: false };

const whole = (remainingMs: number): JobWish => ({ rung: LAST, minRung: 0, remainingMs });

// "io" is the clock of deployed Workers: it stands still while stages run.
describe.each(["system", "io"])("on the %s clock", (clock) => {
  const workers = [
    { configPath: configPath("caller.toml") },
    { configPath: configPath("wrangler.toml"), vars: { DYSTRI_CLOCK: clock } },
  ];
  const harness = createTestHarness({ workers });

  async function ask<T>(route: string, body?: JobWish[]): Promise<T> {
    const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await harness.fetch(route, init);
    if (response.status !== 200) throw new Error(`${route}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  const together = (wishes: JobWish[]): Promise<(RunResult & { index: number })[]> => ask("/together", wishes);

  beforeAll(async () => {
    await harness.listen();
    await ask("/warm");
  });

  afterAll(() => harness.close());

  test("jobs finish in the order of their deadlines, whatever order they came in", async () => {
    const remaining = [180_000, 60_000, 36_000, 90_000, 12_000, 75_000, 24_000];
    const finished = await together(remaining.map(whole));
    expect(finished.map(({ index }) => remaining[index])).toEqual([...remaining].sort((a, b) => a - b));
    for (const { ended, exits } of finished) {
      expect(ended).toBe("stop");
      expect(exits.map(({ exit }) => exit)).toEqual([0, 1, 2, 3, 4]);
    }
    expect(await ask("/debug")).toMatchObject(idle);
  });

  test("work that the queue cannot make is refused at once, and what was admitted keeps its time", async () => {
    const admitted = whole(WHOLE_MS + 500);
    const unmeetable = { ...whole(WHOLE_MS + 600), minRung: LAST };
    const modest = whole(WHOLE_MS + 600);
    const finished = await together([admitted, unmeetable, modest]);
    const byIndex = [...finished].sort((a, b) => a.index - b.index);
    expect(finished[0]?.index).toBe(1);
    expect(byIndex[1]).toMatchObject({ ended: "refused", exits: [], profileMs: 0 });
    expect(byIndex[1]?.aheadMs).toBeGreaterThan(0);
    // What was there first is not disturbed; with a floor that fits, the same deadline is admitted for less work.
    expect(byIndex[0]).toMatchObject({ ended: "stop" });
    expect(byIndex[0]?.exits.length).toBe(LAST + 1);
    expect(byIndex[2]?.ended).not.toBe("refused");
    expect(byIndex[2]?.exits.length).toBeGreaterThanOrEqual(1);
  });

  test("waiting work of who uses more gives way to who would be refused; its own request hears of it at once", async () => {
    const strict = (user: string, remainingMs: number): JobWish => ({ ...whole(remainingMs), minRung: LAST, user });
    // A little more than the profile says: three jobs pass the test, a fourth by the third's deadline does not.
    const dueMs = (n: number): number => n * (WHOLE_MS + 150);
    const heavy = [1, 2, 3].map((n) => strict("heavy", dueMs(n)));
    const finished = await together([...heavy, strict("light", dueMs(3))]);
    const byIndex = [...finished].sort((a, b) => a.index - b.index);
    expect(byIndex[3]).toMatchObject({ ended: "stop" });
    expect(byIndex.map(({ ended }) => ended).sort()).toEqual(["refused", "stop", "stop", "stop"]);
    expect(finished[0]).toMatchObject({ ended: "refused", exits: [], profileMs: 0 });
    expect(await ask("/debug")).toMatchObject(idle);
  });

  test("a job cancelled in mid-run ends at a stage boundary with the exits it has; others go on", async () => {
    const finished = await together([{ ...whole(10_000), cancel: true }, whole(20_000)]);
    expect(finished.map(({ index, ended }) => [index, ended])).toEqual([
      [0, "cancelled"],
      [1, "stop"],
    ]);
    expect(finished[0]?.exits.length).toBeLessThan(LAST + 1);
    expect(finished[1]?.exits.length).toBe(LAST + 1);
  });

  test("callers that answer in mid-run leak nothing, and the next request is served", async () => {
    for (let i = 0; i < 5; i++) {
      expect(await ask("/leave", [whole(20_000), whole(10_000)])).toBe("left");
    }
    const [next] = await together([whole(5000)]);
    expect(next).toMatchObject({ ended: "stop" });
    expect(next?.exits.length).toBe(LAST + 1);
    expect(await ask<IsolateReport>("/debug")).toMatchObject(idle);
  });

  test("callers that are gone without a word leave jobs that run to their end, and nothing after it", async () => {
    expect(await ask("/vanish", [whole(20_000), whole(10_000)])).toBe("gone");
    // Its deadline is the latest: the others are over before it.
    const [last] = await together([whole(30_000)]);
    expect(last).toMatchObject({ ended: "stop" });
    expect(last?.aheadMs).toBeGreaterThan(0);
    expect(await ask<IsolateReport>("/debug")).toMatchObject(idle);
  });
});
