/** The executor on the real runtime in workerd: what one job gives, exit by exit. */
import { expect, test } from "vitest";
import { Executor } from "../../functions/inference/executor.ts";
import { OnnxRuntime } from "../../functions/inference/onnx.ts";
import { RESERVE } from "../../control/edge-admission.ts";
import { ConstantClock, SystemClock, type Clock } from "../../protocol/clock.ts";
import { DystriError } from "../../protocol/errors.ts";
import type { EdgeJob, RunResult } from "../../protocol/inference.ts";
import { MAX_EDGE_JOBS } from "../../protocol/limits.ts";
import { softmax } from "../../runtime/answers.ts";
import type { StageRunner } from "../../runtime/stage-runner.ts";
import { unpack } from "../../runtime/tensor-packing.ts";
import { bundle, SLOW_MS, SLOW_STAGES, tiny } from "./bundle.ts";
import { claim, edgeOption, job, logitsOf, plan } from "./jobs.ts";

const runtime = new OnnxRuntime(bundle);
const applications = bundle.applications.map(({ application }) => application);

async function runner(application: string): Promise<StageRunner> {
  return (await runtime.load()).runners.get(application) as StageRunner;
}

async function executorOn(clock: Clock): Promise<Executor> {
  await runtime.load();
  return new Executor({ settled: true, load: runner }, clock, 0, applications);
}

async function run(executor: Executor, work: EdgeJob): Promise<RunResult> {
  const opened = executor.open((await runner(work.application)).application, work);
  const result = await opened.result;
  await opened.held;
  expect(executor).toMatchObject({ queued: 0, running: false });
  return result;
}

/** Time in which so much profile work is admitted. */
const room = (profileMs: number): number => RESERVE * profileMs + 1;

const slow = (remainingMs: number, minRung = 0): EdgeJob =>
  job("slow", plan([edgeOption(SLOW_STAGES, minRung)]), remainingMs);

test("a chain runs stage by stage and answers like the network it was exported from", async () => {
  const executor = await executorOn(new SystemClock());
  for (const sample of [0, 1, 2, 3]) {
    const result = await run(executor, job("tiny", plan([edgeOption(1)]), 1000, sample));
    expect(result).toMatchObject({ ended: "stop", edge: { price: 0, aheadMs: 0, ageMs: 0 }, aheadMs: 0 });
    expect(result.exits.map(({ exit }) => exit)).toEqual([0, 1]);
    for (const { exit, top } of result.exits) {
      const { temperature } = tiny.rungs[exit] as { temperature: number };
      const wanted = softmax(logitsOf(sample)[exit] as number[], temperature);
      for (const [label, p] of top) expect(p).toBeCloseTo(wanted[label] as number, 4);
    }
  }
});

test("the plan's table is followed at each exit: stop at once, or escalate with the cut it names", async () => {
  const executor = await executorOn(new SystemClock());
  const stop = await run(executor, job("tiny", plan([edgeOption(1)], [Array<"stop">(8).fill("stop")]), 1000));
  expect(stop).toMatchObject({ ended: "stop", profileMs: tiny.rungs[0]?.referenceMs.edge });
  expect(stop.exits.length).toBe(1);

  const node = { ...edgeOption(1, 1, 0), at: { tier: "node" as const, node: "n1" } };
  const escalated = await run(executor, job("tiny", plan([edgeOption(1), node], [Array<number>(8).fill(1)]), 1000));
  expect(escalated).toMatchObject({ ended: "escalate", option: 1, cut: { shape: [4, 4, 4], code: "u8" } });

  // An earlier cut than the last is kept as long as the plan may ask for it.
  const later = await run(
    executor,
    job(
      "tiny",
      plan(
        [edgeOption(1), node],
        [0, 1].map((goal) => Array<number>(8).fill(goal)),
      ),
      1000,
    ),
  );
  expect(later.exits.length).toBe(2);
  expect(later).toMatchObject({ ended: "escalate", option: 1, cut: escalated.cut });

  // The cut, taken up again, answers as the uninterrupted run does, within what 8 bits can tell.
  const cut = escalated.cut as NonNullable<typeof escalated.cut>;
  expect((await unpack(cut)).some((value) => value > 0)).toBe(true);
  const resumed = await run(executor, { ...job("tiny", plan([edgeOption(1, 1, 0)]), 1000), start: { from: 0, cut } });
  const whole = await run(executor, job("tiny", plan([edgeOption(1)]), 1000));
  expect(resumed.exits.map(({ exit }) => exit)).toEqual([1]);
  expect(resumed.exits[0]?.confidence).toBeCloseTo(whole.exits[1]?.confidence as number, 1);
});

test("a cut travels in the smallest code that its ladder says costs no accuracy", async () => {
  const executor = await executorOn(new SystemClock());
  const node = { ...edgeOption(1, 1, 0), at: { tier: "node" as const, node: "n1" } };
  const goOn = plan([edgeOption(1), node], [Array<number>(8).fill(1)]);
  const [unmeasured, lossless] = [
    await run(executor, job("tiny", goOn, 1000)),
    await run(executor, job("slow", goOn, 10 * SLOW_MS)),
  ];
  expect(unmeasured.cut?.code).toBe("u8");
  expect(lossless.cut?.code).toBe("u4");
  expect(lossless.cut?.bytes.byteLength).toBeLessThan(unmeasured.cut?.bytes.byteLength as number);
});

test("where the clock stands still, the profile carries time: a job runs the stages that fit and no more", async () => {
  const executor = await executorOn(new ConstantClock(1000));
  const exitsWithin = async (remainingMs: number, minRung = 0) =>
    (await run(executor, slow(remainingMs, minRung))).exits.length;
  expect(await exitsWithin(room(SLOW_STAGES * SLOW_MS))).toBe(SLOW_STAGES + 1);
  expect(await exitsWithin(room(2 * SLOW_MS))).toBe(3);
  expect(await run(executor, slow(room(2 * SLOW_MS), SLOW_STAGES))).toMatchObject({ ended: "refused", exits: [] });
});

test("two jobs that reserve more than there is: the second, which must wait long, runs its least, and neither is late", async () => {
  const executor = await executorOn(new ConstantClock(1000));
  const { application } = await runner("slow");
  const first = executor.open(application, slow(room(SLOW_STAGES * SLOW_MS)));
  const second = executor.open(application, slow(room((SLOW_STAGES + 2) * SLOW_MS) + 1));
  expect((await first.result).exits.length).toBe(SLOW_STAGES + 1);
  expect((await second.result).exits.length).toBe(1);
  // The first stage of the first job had run when the second came.
  expect((await second.result).aheadMs).toBeGreaterThanOrEqual(SLOW_STAGES * SLOW_MS);
});

test("an isolate holds no more than MAX_EDGE_JOBS jobs; the next is refused, however much time it has", async () => {
  const executor = await executorOn(new ConstantClock(1000));
  const { application } = await runner("tiny");
  const many = Array.from({ length: MAX_EDGE_JOBS + 3 }, () =>
    executor.open(application, job("tiny", plan([edgeOption(0)]), 60_000)),
  );
  const ended = (await Promise.all(many.map(({ result }) => result))).map((result) => result.ended);
  expect(ended.filter((how) => how === "refused").length).toBe(3);
  expect(ended.slice(0, MAX_EDGE_JOBS).every((how) => how === "stop")).toBe(true);
  await Promise.all(many.map(({ held }) => held));
  expect(executor).toMatchObject({ queued: 0, running: false });
});

test("a machine told to be slower admits less; what travels stays in the profile's milliseconds", async () => {
  const executor = await executorOn(new ConstantClock(1000));
  const told = (work: EdgeJob): EdgeJob => ({ ...work, plan: { ...work.plan, edgeSlowdown: 2 } });
  expect((await run(executor, slow(room(2 * SLOW_MS) + 100))).exits.length).toBe(3);
  for (let i = 0; i < 100; i++) await run(executor, told(job("tiny", plan([edgeOption(0)]), 1000)));
  const slower = await run(executor, told(slow(room(2 * SLOW_MS) + 100)));
  expect(slower.exits.length).toBe(2);
  expect(slower.profileMs).toBeCloseTo(SLOW_MS, 0);
});

test("work of who uses more gives way to who would be refused, before any of it has run", async () => {
  const executor = await executorOn(new ConstantClock(1000));
  const { application } = await runner("slow");
  const from = (user: string, remainingMs: number, minRung = SLOW_STAGES, over = {}): EdgeJob => ({
    ...slow(remainingMs, minRung),
    claim: claim(user, over),
  });
  const WHOLE_MS = RESERVE * SLOW_STAGES * SLOW_MS;
  // Jobs of a heavy user fill the queue up to their deadline; the first has begun when the others come.
  const heavy = [1, 2, 3].map((n) => executor.open(application, from("heavy", n * (WHOLE_MS + 1), SLOW_STAGES)));
  const own = executor.open(application, from("heavy", 3 * (WHOLE_MS + 1)));
  const light = executor.open(application, from("light", 3 * (WHOLE_MS + 1)));
  expect(await own.result).toMatchObject({ ended: "refused", exits: [] });
  const ended = await Promise.all(heavy.map(async ({ result }) => (await result).ended));
  expect(await light.result).toMatchObject({ ended: "stop" });
  expect(ended.filter((how) => how === "refused").length).toBe(1);
  expect(ended.filter((how) => how === "stop").length).toBe(2);
  await Promise.all([...heavy, own, light].map(({ held }) => held));
  expect(executor).toMatchObject({ queued: 0, running: false });
});

test("the price rises with the work asked for, refused work too, and is gone when nobody asks", async () => {
  let at = 0;
  await runtime.load();
  const executor = new Executor({ settled: true, load: runner }, new SystemClock(() => at), 0, applications);
  const { application } = await runner("slow");
  const ask = (): Promise<RunResult> => executor.open(application, slow(1, SLOW_STAGES)).result;
  expect(await ask()).toMatchObject({ ended: "refused", edge: { price: 0 } });
  at = 150;
  const { edge } = await ask();
  expect(edge.price).toBeGreaterThan(0);
  at = 60_000;
  expect((await ask()).edge.price).toBe(0);
});

test("a refusal while the runtime loads says nothing about the time after", async () => {
  const { application } = await runner("tiny");
  let settled = false;
  const source = {
    get settled() {
      return settled;
    },
    load: async (name: string) => {
      const loaded = await runner(name);
      settled = true;
      return loaded;
    },
  };
  const executor = new Executor(source, new ConstantClock(0), 500, applications);
  const work = job("tiny", plan([edgeOption(1)]), 100);
  const cold = executor.open(application, work);
  expect(await cold.result).toMatchObject({ ended: "refused", aheadMs: expect.closeTo(500 / RESERVE, 6) as number });
  await cold.held;
  expect(await executor.open(application, work).result).toMatchObject({ ended: "stop", aheadMs: 0 });
});

test("a cancelled job ends at its next stage boundary; one that waits, at once and without an exit", async () => {
  const executor = await executorOn(new SystemClock());
  const { application } = await runner("slow");
  const first = executor.open(application, slow(10_000));
  const second = executor.open(application, slow(20_000));
  second.cancel();
  expect(await second.result).toMatchObject({ ended: "cancelled", exits: [] });
  first.cancel();
  const cancelled = await first.result;
  expect(cancelled.ended).toBe("cancelled");
  expect(cancelled.exits.length).toBeLessThan(SLOW_STAGES + 1);
  await Promise.all([first.held, second.held]);
  expect(executor).toMatchObject({ queued: 0, running: false });
});

test("a stage that fails after an exit leaves that exit standing; one that fails first is a typed error", async () => {
  const sound = await runner("slow");
  const failing = (from: number): StageRunner =>
    new Proxy(sound, {
      get(target, property) {
        if (property !== "run") return Reflect.get(target, property, target) as unknown;
        const run: StageRunner["run"] = (state, rung, topK) =>
          rung >= from ? Promise.reject(new Error("out of memory")) : target.run(state, rung, topK);
        return run;
      },
    });
  const executorFailing = (from: number) =>
    new Executor({ settled: true, load: () => Promise.resolve(failing(from)) }, new SystemClock(), 0, applications);

  const late = await executorFailing(2).open(sound.application, slow(10_000)).result;
  expect(late).toMatchObject({ ended: "late", failure: "slow.onnx: out of memory" });
  expect(late.exits.length).toBe(2);
  await expect(executorFailing(0).open(sound.application, slow(10_000)).result).rejects.toMatchObject({
    code: "internal",
  });
});

test("a job that waits for a load that never ends is late at its deadline; a failed load is its typed error", async () => {
  const { application } = await runner("tiny");
  const stuck = new Executor(
    { settled: false, load: () => new Promise(() => undefined) },
    new SystemClock(),
    10,
    applications,
  );
  const work = job("tiny", plan([edgeOption(1)]), 40);
  expect(await stuck.open(application, work).result).toMatchObject({ ended: "late", exits: [] });
  expect(await stuck.open(application, { ...work, remainingMs: 5 }).result).toMatchObject({ ended: "refused" });

  const failure = new DystriError("runtime_init_failed", "no memory");
  const broken = new Executor(
    { settled: true, load: () => Promise.reject(failure) },
    new SystemClock(),
    10,
    applications,
  );
  await expect(broken.open(application, work).result).rejects.toBe(failure);
});
