import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Compute } from "../../nodes/compute.ts";
import { Executor, type Reply } from "../../nodes/executor.ts";
import { ConfigurationError } from "../../nodes/log.ts";
import { findApplications, loadApplication } from "../../nodes/models.ts";
import { profile } from "../../nodes/profile.ts";
import type { Application } from "../../protocol/application.ts";
import type { NodeRegistration } from "../../protocol/fleet.ts";
import type { JobHeader } from "../../protocol/node-messages.ts";
import type { InputTensor, Start } from "../../protocol/tensor.ts";

const FIXTURES = join(import.meta.dirname, "../fixtures");
const native = { provider: "cpu", threads: 1 } as const;
type Sample = { bytes: string; logits: number[][] };

let compute: Compute;
let registration: NodeRegistration;
let samples: Sample[];

beforeAll(async () => {
  samples = JSON.parse(await readFile(join(FIXTURES, "tiny/samples.json"), "utf8")) as Sample[];
  compute = await Compute.start({ models: FIXTURES, applications: ["tiny"], native });
  const applications = await profile(compute, 100);
  registration = { agentVersion: "t", bootId: "t", provider: "cpu", device: "t", concurrency: 1, applications };
});
afterAll(() => compute.close());

const tensor = (sample: Sample): InputTensor => ({
  datatype: "UINT8",
  shape: [1, 8, 8],
  bytes: new Uint8Array(Buffer.from(sample.bytes, "base64")).buffer,
});

const argMax = (values: readonly number[]): number => values.indexOf(Math.max(...values));

const header = (rung: number, over: Partial<JobHeader> = {}): JobHeader =>
  ({
    application: "tiny",
    rung,
    minRung: rung,
    remainingMs: 10_000,
    topK: 3,
    from: "input",
    input: { datatype: "UINT8", shape: [1, 8, 8] },
    ...over,
  }) as JobHeader;

function ask(executor: Executor, id: string, head: JobHeader, start: Start): Promise<Reply> {
  return new Promise((resolve) => executor.take(id, head, start, resolve));
}

const first = (): Sample => samples[0] as Sample;

describe("profile", () => {
  test("every rung of the node tier has a median, a tail and its stages", () => {
    const rungs = registration.applications["tiny"]?.rungs ?? {};
    expect(Object.keys(rungs)).toEqual(["0", "1", "2"]);
    expect(Object.values(rungs).map(({ stageMs }) => stageMs.map(({ rung }) => rung))).toEqual([[0], [0, 1], [2]]);
    for (const { medianMs, p95Ms, stageMs } of Object.values(rungs)) {
      expect(medianMs).toBeGreaterThan(0);
      expect(p95Ms).toBeGreaterThanOrEqual(medianMs);
      for (const stage of stageMs) {
        expect(stage.medianMs).toBeGreaterThan(0);
        expect(stage.marginalMs).toBeGreaterThanOrEqual(0);
        expect(stage.marginalMs).toBeLessThanOrEqual(stage.medianMs);
      }
    }
    const { rungs: ladder } = compute.applications[0] as Application;
    expect(Object.values(rungs).map(({ quality }) => quality)).toEqual(ladder.map((rung) => rung.quality.validation));
  });
});

describe("jobs", () => {
  test.each([0, 1, 2])("rung %i answers as the exported model does, many at once", async (rung) => {
    const executor = new Executor(registration, compute);
    const replies = samples.map((sample, i) =>
      ask(executor, `${rung}-${i}`, header(rung), { from: "input", input: tensor(sample) }),
    );
    for (const [i, reply] of (await Promise.all(replies)).entries()) {
      if (reply.kind !== "answer") throw new Error(reply.header.detail);
      const { exit, computeMs, queueMs } = reply.header;
      expect(exit.exit).toBe(rung);
      expect(exit.top[0]?.[0]).toBe(argMax((samples[i] as Sample).logits[rung] as number[]));
      expect(computeMs).toBeGreaterThan(0);
      expect(queueMs).toBeGreaterThanOrEqual(0);
    }
    expect(executor.backlogMs).toBe(0);
  });

  test.each([1, 2])("rung %i answers alike in batches, which this machine is said to gain from", async (rung) => {
    const gaining = structuredClone(registration);
    for (const { stageMs } of Object.values(gaining.applications["tiny"]?.rungs ?? {})) {
      for (const stage of stageMs) stage.marginalMs = stage.medianMs / 100;
    }
    const executor = new Executor(gaining, compute);
    const replies = await Promise.all(
      samples.map((sample, i) =>
        ask(executor, `batch-${rung}-${i}`, header(rung), { from: "input", input: tensor(sample) }),
      ),
    );
    const batches = replies.map((reply, i) => {
      if (reply.kind !== "answer") throw new Error(reply.header.detail);
      expect(reply.header.exit.top[0]?.[0]).toBe(argMax((samples[i] as Sample).logits[rung] as number[]));
      return reply.header.batch;
    });
    // The first began alone, before the others had come.
    expect(batches[0]).toBe(1);
    expect(Math.max(...batches)).toBeGreaterThan(1);
    expect(executor.backlogMs).toBe(0);
  });

  test("in a batch, a tensor that does not fit fails its own job only", async () => {
    const of = (id: string, shape: number[]) => {
      const start: Start = { from: "input", input: { ...tensor(first()), shape } };
      return { id, start, topK: 1 };
    };
    const jobs = [of("a", [1, 8, 8]), of("b", [8, 8]), of("c", [1, 8, 8])];
    const ends = await compute.run({ application: "tiny", rung: 2, jobs });
    expect(ends.map((end) => ("exit" in end ? end.exit.exit : end.code))).toEqual([2, "bad_input", 2]);
    const unknown = await compute.run({ application: "tiny", rung: 1, jobs: [{ id: "nobody", start: null, topK: 1 }] });
    expect(unknown).toMatchObject([{ id: "nobody", code: "failed" }]);
    for (const { id } of jobs) compute.forget(id);
  });

  test("from a cut it answers as from the input", async () => {
    const { runner } = await loadApplication(FIXTURES, "tiny", native);
    const state = await runner.begin({ from: "input", input: tensor(first()) });
    await runner.run(state, 0, 1);
    const packed = await runner.cut(state, 0, "f32");
    const { bytes: _, ...cut } = packed;
    const executor = new Executor(registration, compute);
    const whole = await ask(executor, "whole", header(1), { from: "input", input: tensor(first()) });
    const { input: __, ...fields } = header(1) as Extract<JobHeader, { from: "input" }>;
    const resumed = await ask(executor, "resumed", { ...fields, from: 0, cut }, { from: 0, cut: packed });
    if (whole.kind !== "answer" || resumed.kind !== "answer") throw new Error("refused");
    expect(resumed.header.exit).toEqual(whole.header.exit);
  });

  test("a tensor that does not fit is refused as such, and the next job is served", async () => {
    const executor = new Executor(registration, compute);
    const wrong = { ...tensor(first()), shape: [8, 8] };
    expect(await ask(executor, "wrong", header(2), { from: "input", input: wrong })).toMatchObject({
      kind: "refusal",
      header: { code: "bad_input" },
    });
    expect(await ask(executor, "right", header(2), { from: "input", input: tensor(first()) })).toMatchObject({
      kind: "answer",
    });
  });

  test("what cannot be in time is refused at once", async () => {
    const executor = new Executor(registration, compute);
    const reply = await ask(executor, "late", header(2, { remainingMs: 0 }), { from: "input", input: tensor(first()) });
    expect(reply).toMatchObject({ kind: "refusal", header: { code: "too_late" } });
  });

  test("cancelled jobs say nothing, waiting or running; drain waits for the others", async () => {
    const executor = new Executor(registration, compute);
    const said: string[] = [];
    for (const id of ["runs", "waits", "stays"]) {
      executor.take(id, header(2), { from: "input", input: tensor(first()) }, ({ kind }) => said.push(`${id} ${kind}`));
    }
    executor.cancel("runs");
    executor.cancel("waits");
    await executor.drain();
    expect(said).toEqual(["stays answer"]);
    executor.take("after", header(2), { from: "input", input: tensor(first()) }, ({ kind }) =>
      said.push(`after ${kind}`),
    );
    expect(said).toEqual(["stays answer", "after refusal"]);
  });
});

describe("configuration", () => {
  test("the folders with an app.json are the applications", async () => {
    expect(await findApplications(FIXTURES)).toContain("tiny");
    await expect(findApplications(join(FIXTURES, "nowhere"))).rejects.toThrow(ConfigurationError);
  });

  test("what cannot be loaded is a plain sentence, from the thread as well", async () => {
    const options = { models: FIXTURES, applications: ["nothing"], native };
    await expect(Compute.start(options)).rejects.toThrow(/nothing.app\.json cannot be used/);
    await expect(Compute.start(options)).rejects.toThrow(ConfigurationError);
  });

  test("a provider that is not there says what to install, and nothing runs on the CPU instead", async () => {
    const options = { models: FIXTURES, applications: ["tiny"], native: { provider: "rocm", threads: 1 } as const };
    await expect(Compute.start(options)).rejects.toThrow(/the provider rocm is not available: it needs/);
  });
});
