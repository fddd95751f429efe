import { beforeAll, describe, expect, test } from "vitest";
import { softmax } from "../../runtime/answers.ts";
import { samples as samplesOf, stacked, type RuntimeTensor } from "../../runtime/session.ts";
import { StageRunner, type StageState } from "../../runtime/stage-runner.ts";
import { unpack } from "../../runtime/tensor-packing.ts";
import type { PackedTensor, Start } from "../../protocol/tensor.ts";
import { samples, session, tiny, type Sample } from "./tiny.ts";

let runner: StageRunner;

const stackedBack = (tensor: RuntimeTensor) => samplesOf(tensor, 2);

beforeAll(async () => {
  runner = new StageRunner(tiny, await Promise.all(tiny.rungs.map(({ stage }) => session(stage))));
});

const start = ({ bytes }: Sample): Start => ({ from: "input", input: { datatype: "UINT8", shape: [1, 8, 8], bytes } });

const wanted = (sample: Sample, rung: number): Float64Array =>
  softmax(sample.logits[rung] as number[], (tiny.rungs[rung] as { temperature: number }).temperature);

test("every rung answers like the one network it was cut from", async () => {
  let right = 0;
  for (const sample of samples) {
    const state = await runner.begin(start(sample));
    for (const rung of [0, 1, 2]) {
      const { exit, top, confidence, bin } = await runner.run(state, rung, 3);
      const p = wanted(sample, rung);
      expect(exit).toBe(rung);
      for (const [label, probability] of top) expect(probability).toBeCloseTo(p[label] as number, 4);
      expect(confidence).toBe(top[0]?.[1]);
      const row = (tiny.rungs[rung] as (typeof tiny.rungs)[number]).evidence[bin] as { from: number; to: number };
      expect(confidence > row.from && confidence <= row.to).toBe(true);
      if (rung === 2 && top[0]?.[0] === sample.label) right++;
    }
  }
  expect(right / samples.length).toBeGreaterThan(0.7);
});

test("several requests in one run are answered as each alone, whatever they started from", async () => {
  const alone = await Promise.all(samples.map((sample) => runner.begin(start(sample))));
  const together = await Promise.all(samples.map((sample) => runner.begin(start(sample))));
  for (const rung of [0, 1, 2]) {
    const exits = await runner.runTogether(
      together.map((state, i) => ({ state, topK: 1 + (i % 3) })),
      rung,
    );
    for (const [i, exit] of exits.entries()) {
      const single = await runner.run(alone[i] as StageState, rung, 1);
      expect(exit.top).toHaveLength(1 + (i % 3));
      expect(exit.top[0]?.[0]).toBe(single.top[0]?.[0]);
      expect(exit.confidence).toBeCloseTo(single.confidence, 5);
    }
  }
  // The cuts each holds are its own.
  const [cutOfOne, cutOfBatch] = await Promise.all(
    [alone[3], together[3]].map((state) => runner.cut(state as StageState, 0, "f32")),
  );
  const [one, batch] = await Promise.all([cutOfOne, cutOfBatch].map((cut) => unpack(cut as PackedTensor)));
  for (const [i, value] of (one as Float32Array).entries()) expect(batch?.[i]).toBeCloseTo(value, 4);
});

test.each<[string, RuntimeTensor]>([
  ["float32", { type: "float32", data: new Float32Array([1, 2, 3, 4]), dims: [1, 2, 2] }],
  ["uint8", { type: "uint8", data: new Uint8Array([1, 2, 3, 4]), dims: [1, 2, 2] }],
  ["int64", { type: "int64", data: new BigInt64Array([1n, 2n, 3n, 4n]), dims: [1, 2, 2] }],
])("%s tensors are stacked and taken apart again; what does not fit is refused", (_, tensor) => {
  const both = stacked([tensor, tensor]);
  expect(both).toMatchObject({ type: tensor.type, dims: [2, 2, 2] });
  expect(both.data).toHaveLength(8);
  expect(stackedBack(both)).toEqual([tensor, tensor]);
  expect(stacked([tensor])).toBe(tensor);
  expect(() => stacked([])).toThrow(RangeError);
  expect(() => stacked([tensor, { ...tensor, dims: [1, 4] }])).toThrow(RangeError);
});

test("a run resumed from the exact cut on another machine gives the same answer; a quantised one gives nearly the same", async () => {
  for (const sample of samples) {
    const here = await runner.begin(start(sample));
    await runner.run(here, 0, 3);
    const direct = await runner.run(here, 1, 3);
    for (const [code, digits] of [
      ["f32", 6],
      ["u8", 1],
    ] as const) {
      const there = await runner.begin({ from: 0, cut: await runner.cut(here, 0, code) });
      const resumed = await runner.run(there, 1, 3);
      expect(resumed.confidence).toBeCloseTo(direct.confidence, digits);
    }
  }
});

describe("what cannot be run says so", () => {
  test("canRun follows the tensors held and the stages loaded", async () => {
    const partial = new StageRunner(tiny, [await session("e1.onnx"), await session("e2.onnx"), null]);
    const state = await partial.begin(start(samples[0] as Sample));
    expect([0, 1, 2].map((rung) => partial.canRun(state, rung))).toEqual([true, false, false]);
    await partial.run(state, 0, 1);
    expect([0, 1, 2].map((rung) => partial.canRun(state, rung))).toEqual([true, true, false]);
    await expect(partial.run(state, 2, 1)).rejects.toThrow(RangeError);
    await expect(partial.cut(state, 1, "u8")).rejects.toThrow(RangeError);
  });

  test("a start that does not fit is bad_tensor", async () => {
    const { bytes } = samples[0] as Sample;
    const bad = { code: "bad_tensor" };
    const input = { datatype: "UINT8" as const, shape: [1, 8, 8], bytes };
    await expect(runner.begin({ from: "input", input: { ...input, bytes: bytes.slice(1) } })).rejects.toMatchObject(
      bad,
    );
    await expect(runner.begin({ from: "input", input: { ...input, shape: [64] } })).rejects.toMatchObject(bad);
    const state = await runner.begin({ from: "input", input });
    await runner.run(state, 0, 1);
    const cut = await runner.cut(state, 0, "u8");
    await expect(runner.begin({ from: 1, cut })).rejects.toMatchObject(bad);
    await expect(runner.begin({ from: 0, cut: { ...cut, shape: [8, 4, 2] } })).rejects.toMatchObject(bad);
  });

  test("a stage that does not keep its promises is an error, not an answer", async () => {
    const wrong = new StageRunner(tiny, [await session("v.onnx"), await session("e2.onnx"), null]);
    const state = await wrong.begin(start(samples[0] as Sample));
    await expect(wrong.run(state, 0, 1)).rejects.toThrow(/e1.onnx did not leave the cut tensor/);
    expect(() => new StageRunner(tiny, [null])).toThrow(RangeError);
  });
});
