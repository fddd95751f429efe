/**
 * The inference Worker's RPC surface. The test plugin switches off the waking of one request by another, which the run
 * queue needs: jobs that run to their end across RPC are in test/edge, on plain workerd.
 */
import { expect, test } from "vitest";
import { asDystriError } from "../../protocol/errors.ts";
import type { EdgeJob } from "../../protocol/inference.ts";
import { edgeOption, job, message, plan, sampleBytes } from "./jobs.ts";
import { inference } from "./remote.ts";

test("warm loads every session; debug tells wasm memory in bytes and what is loaded", async () => {
  const warm = await inference.warm();
  expect(warm.wasmBytes).toBeGreaterThan(8 * 2 ** 20);
  expect(warm.sessions).toContainEqual({ application: "tiny", rung: 1, file: "e2.onnx", bytes: 8275 });
  expect(warm).toMatchObject({ queued: 0, running: false });
  expect(await inference.debug()).toEqual(warm);
});

test.each<[string, string, (work: EdgeJob) => EdgeJob]>([
  ["unknown_application", "application", (work) => ({ ...work, application: "nothing" })],
  ["bad_parameter", "option", (work) => ({ ...work, option: 3 })],
  ["bad_parameter", "option.rung", (work) => ({ ...work, plan: plan([edgeOption(2)]) })],
  ["bad_parameter", "topK", (work) => ({ ...work, topK: 0 })],
  [
    "bad_tensor",
    "shape",
    (work) => ({
      ...work,
      start: { from: "input", input: { datatype: "UINT8", shape: [1, 4, 16], bytes: sampleBytes(0) } },
    }),
  ],
])("a job that is not usable is %s, naming %s", async (code, field, spoil) => {
  const thrown: unknown = await inference.run("t", message(spoil(job("tiny", plan([edgeOption(1)]), 1000)))).then(
    () => null,
    (error: unknown) => error,
  );
  expect(asDystriError(thrown)).toMatchObject({ code, details: { field } });
});
