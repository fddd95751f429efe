/** The start of ONNX Runtime in workerd. */
import { expect, test } from "vitest";
import { OnnxRuntime } from "../../functions/inference/onnx.ts";
import { bundle } from "./bundle.ts";
import { instantiate, instantiations } from "./instantiations.ts";

test("concurrent first calls start the runtime once, by one call of WebAssembly.instantiate, which is restored", async () => {
  const runtime = new OnnxRuntime(bundle);
  expect(runtime.settled).toBe(false);
  expect(runtime.sessions).toEqual([]);
  const [first, second] = await Promise.all([runtime.load(), runtime.load(), runtime.load()]);
  expect(second).toBe(first);
  expect(runtime.settled).toBe(true);
  // One for all files of this project, whichever came first. If ONNX Runtime stopped calling instantiate, or called it
  // twice, this is where an upgrade shows it.
  expect(instantiations.map((source) => source instanceof WebAssembly.Module)).toEqual([true]);
  expect(WebAssembly.instantiate).toBe(instantiate);
  const files = ["e1.onnx", "e2.onnx", "e1.onnx", "slow.onnx", "slow.onnx", "slow.onnx", "slow.onnx"];
  expect(runtime.sessions.map(({ file }) => file)).toEqual(files);
  expect(runtime.wasmBytes).toBeGreaterThan(8 * 2 ** 20);
  expect(runtime.wasmBytes).toBeLessThan(60 * 2 ** 20);
});

test("a model that cannot be loaded is a typed error, and stays one", async () => {
  const broken = {
    ...bundle,
    applications: bundle.applications
      .slice(0, 1)
      .map((entry) => ({ ...entry, stages: [new ArrayBuffer(8), null, null] })),
  };
  const runtime = new OnnxRuntime(broken);
  const failure = { name: "DystriError", code: "runtime_init_failed" };
  await expect(runtime.load()).rejects.toMatchObject(failure);
  await expect(runtime.load()).rejects.toMatchObject(failure);
  expect(runtime.settled).toBe(true);
  expect(runtime.sessions).toEqual([]);
});
