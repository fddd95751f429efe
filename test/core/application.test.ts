import { describe, expect, test } from "vitest";
import { ApplicationError, parseApplication } from "../../runtime/application.ts";
import { tiny, tinyJson } from "./tiny.ts";

/** The fixture with the value at `path` replaced; undefined removes it. */
function spoilt(path: string, value: unknown): unknown {
  const json = tinyJson();
  const keys = path.split(/[.[\]]+/).filter((key) => key !== "");
  let at = json as Record<string, unknown>;
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>;
  const last = keys.at(-1) as string;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return json;
}

test("a sound application comes out as it went in", () => {
  expect(tiny).toEqual(tinyJson());
});

describe("the error names the exact field, its value and what was expected", () => {
  // Field to spoil, wrong value, the field the error must name if it is another one.
  test.each<[string, unknown, string?]>([
    ["name", "Tiny One"],
    ["name", undefined],
    ["task", "poetry"],
    ["labels", ["one"]],
    ["labels", ["a", "b", "a"], "labels[2]"],
    ["input.datatype", "FLOAT"],
    ["input.datatype", "FP32", "input.bytes"],
    ["input.bytes", 65],
    ["input.shape", [1, 8, 8.5], "input.shape[2]"],
    ["input.shape", [1, 4, 16]],
    ["input.preprocessing.channels", 2],
    ["input.preprocessing.mean", [0.5, 0.5]],
    ["input.preprocessing.std[0]", 0],
    ["input.accepts[0]", "png"],
    ["deadline.maxMs", 100, "deadline.defaultMs"],
    ["deadline.maxMs", 1e9],
    ["rungs", []],
    ["rungs[0].tiers", []],
    ["rungs[0].tiers", ["edge", "edge"], "rungs[0].tiers[1]"],
    ["rungs[0].tiers", ["node"], "rungs[1].tiers[0]"],
    ["rungs[1].resumesFrom", 1],
    ["rungs[1].resumesFrom", 2],
    ["rungs[1].resumesFrom", -1],
    ["rungs[1].resumesFrom", "start"],
    ["rungs[1].resumesFrom", "input", "rungs[1].mflops.cumulative"],
    ["rungs[1].cut", { shape: [4], bytes: { f32: 16, u8: 4, u4: 2 } }],
    ["rungs[0].cut", undefined],
    ["rungs[0].cut.shape", [4096, 4096]],
    ["rungs[0].cut.bytes.u4", "few"],
    ["rungs[1].stage", "../e2.onnx"],
    ["rungs[1].stage", "e1.onnx"],
    ["rungs[1].name", "e1"],
    ["rungs[1].mflops.cumulative", 1],
    ["rungs[2].temperature", 0],
    ["rungs[2].temperature", null],
    ["rungs[2].referenceMs.node", Number.NaN],
    ["rungs[2].quality.test", 90.4],
    ["rungs[1].evidence[0].from", 0.1],
    ["rungs[1].evidence[2].from", 0.7],
    ["rungs[1].evidence[2].to", 0.65],
    ["rungs[1].evidence[5].to", 0.99],
    ["rungs[1].evidence[0].right", [0.5, 0.6]],
    ["rungs[1].evidence[0].right[2]", 1.2],
    ["rungs[1].evidence[0].count", -1],
    ["rungs[1].evidence", []],
    ["rungs[1].reference", 3],
  ])("%s = %j", (path, value, named = path) => {
    const json = spoilt(path, value);
    const read = () => parseApplication(json);
    expect(read).toThrow(ApplicationError);
    expect(read).toThrow(expect.objectContaining({ path: named }));
    expect(read).toThrow(/^\S+ is .+; expected .+$/);
  });

  test.each([[null], [[]], ["app"], [undefined]])("the whole: %j", (json) => {
    expect(() => parseApplication(json)).toThrow(/^the application is .*; expected an object$/);
  });
});
