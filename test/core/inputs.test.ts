import { describe, expect, test } from "vitest";
import type { Application } from "../../protocol/application.ts";
import { asDystriError } from "../../protocol/errors.ts";
import { parseApplication } from "../../nodes/parse-application.ts";
import { leading, normalise } from "../../runtime/normalise.ts";
import { StageRunner } from "../../runtime/stage-runner.ts";
import type { RuntimeTensor, Session } from "../../runtime/session.ts";
import { tableTensor } from "../../runtime/table.ts";
import { bytesTensor } from "../../runtime/text-bytes.ts";
import { tinyJson } from "./tiny.ts";

/** The fixture's ladder behind another kind of input. */
function behind(input: Partial<Application["input"]>, change: (json: Application) => void = () => {}): Application {
  const json = tinyJson() as Application;
  json.input = { ...json.input, ...input };
  change(json);
  return parseApplication(json);
}

const table = { kind: "table" as const, features: ["red", "green", "blue"], mean: [0, 10, 255], std: [1, 10, 0.5] };
const tabular = () => behind({ shape: [3], bytes: 3, accepts: ["application/json"], preprocessing: table });
const text = { kind: "bytes" as const, length: 6 };
const textual = (change?: (json: Application) => void) =>
  behind({ shape: [6], bytes: 6, accepts: ["text/plain"], preprocessing: text }, change);

const errorOf = (work: () => unknown) => {
  try {
    work();
  } catch (error) {
    return asDystriError(error);
  }
  throw new Error("nothing was thrown");
};

describe("tables", () => {
  test("numbers come as an array or under values, and are standardised per feature", () => {
    const input = tableTensor([1, 20, 254], table);
    expect(tableTensor({ values: [1, 20, 254] }, table)).toEqual(input);
    expect(normalise(tabular(), input)).toEqual({ type: "float32", data: Float32Array.of(1, 1, -2), dims: [1, 3] });
  });

  test.each([
    ["body", [1, 2]],
    ["body", "1,2,3"],
    ["body.values", { values: null }],
    ["body.values", {}],
    ["body[1]", [1, 2.5, 3]],
    ["body[2]", [1, 2, 256]],
    ["body[0]", ["1", 2, 3]],
    ["body.values[0]", { values: [-1, 2, 3] }],
  ])("a wrong %s is named", (field, value) => {
    expect(errorOf(() => tableTensor(value, table))).toMatchObject({ code: "bad_tensor", details: { field } });
  });
});

describe("text as bytes", () => {
  const encode = (value: string) => new TextEncoder().encode(value);

  test("is cut and padded; a NUL in it is not padding", () => {
    const bytes = (value: string) => [...new Uint8Array(bytesTensor(encode(value), text).bytes)];
    expect(bytes("ab")).toEqual([97, 98, 0, 0, 0, 0]);
    expect(bytes("a\0b")).toEqual([97, 32, 98, 0, 0, 0]);
    expect(bytes("abcdefgh")).toEqual([97, 98, 99, 100, 101, 102]);
    // Four bytes a letter: the second one is cut in half.
    expect(bytes("𝄞𝄞")).toEqual([0xf0, 0x9d, 0x84, 0x9e, 0xf0, 0x9d]);
  });

  test("reaches the model as int64", () => {
    const x = normalise(textual(), bytesTensor(encode("ab"), text));
    expect(x).toEqual({ type: "int64", data: BigInt64Array.of(97n, 98n, 0n, 0n, 0n, 0n), dims: [1, 6] });
  });

  test("what is not UTF-8, or nothing, is refused", () => {
    expect(errorOf(() => bytesTensor(Uint8Array.of(0xff, 0xfe), text))).toMatchObject({ code: "bad_request" });
    expect(errorOf(() => bytesTensor(new Uint8Array(), text))).toMatchObject({ code: "empty_body" });
  });
});

describe("take", () => {
  test("a stage that takes the front of the input reads no more", async () => {
    const seen: RuntimeTensor[] = [];
    const session = (): Session => ({
      outputs: ["logits"],
      run: async (x) => {
        seen.push(x);
        return { logits: { type: "float32", data: Float32Array.of(1, 2, 3), dims: [1, 3] } };
      },
    });
    const application = textual((json) => {
      (json.rungs[2] as Application["rungs"][number]).take = 2;
    });
    const runner = new StageRunner(application, [null, null, session()]);
    const input = bytesTensor(new TextEncoder().encode("abcdef"), text);
    await runner.run(await runner.begin({ from: "input", input }), 2, 1);
    expect(seen).toEqual([{ type: "int64", data: BigInt64Array.of(97n, 98n), dims: [1, 2] }]);
    // Runtimes read a tensor's whole buffer, so it must hold nothing else.
    expect(seen[0]?.data.buffer.byteLength).toBe(16);
  });

  test("without it the tensor is passed on as it is", () => {
    const x: RuntimeTensor = { type: "float32", data: Float32Array.of(1, 2), dims: [1, 2] };
    expect(leading(x, undefined)).toBe(x);
    expect(leading(x, 2)).toBe(x);
  });

  test.each([
    ["more than there is", 2, 7, textual],
    ["by a rung that resumes", 1, 2, textual],
    ["of an image", 2, 2, (change: (json: Application) => void) => behind({}, change)],
  ])("%s is refused", (_what, rung, take, make) => {
    const spoil = (json: Application) => {
      (json.rungs[rung] as Application["rungs"][number]).take = take;
    };
    expect(() => make(spoil)).toThrow(`rungs[${rung}].take`);
  });
});

test("the kind of preprocessing decides what else there must be", () => {
  expect(() => behind({ preprocessing: { kind: "magic" } as never })).toThrow("input.preprocessing.kind");
  expect(() => behind({ preprocessing: { ...text, mean: [0] } as never })).toThrow("input.preprocessing.mean");
  expect(() => behind({ shape: [4], bytes: 4, preprocessing: table })).toThrow("input.shape");
  expect(() => behind({ shape: [3], bytes: 3, preprocessing: { ...table, std: [1] } })).toThrow("preprocessing.std");
});
