import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { ApplicationError, parseApplication } from "../../nodes/parse-application.ts";
import { applicationNames, MODELS } from "../../scripts/models-folder.ts";
import { tiny, tinyJson } from "./tiny.ts";

/** Sets the value at `path`; undefined removes it. */
function put(json: unknown, path: string, value: unknown): void {
  const keys = path.split(/[.[\]]+/).filter((key) => key !== "");
  let at = json as Record<string, unknown>;
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>;
  const last = keys.at(-1) as string;
  if (value === undefined) delete at[last];
  else at[last] = value;
}

/** The fixture with other values at some paths. */
function spoilt(values: Record<string, unknown>): unknown {
  const json = tinyJson();
  for (const [path, value] of Object.entries(values)) put(json, path, value);
  return json;
}

function faultsIn(json: unknown): ApplicationError {
  try {
    parseApplication(json);
  } catch (error) {
    if (error instanceof ApplicationError) return error;
    throw error;
  }
  throw new Error("it passed");
}

/** One input per kind but images, which the fixture has. */
const LOG_MEL = {
  name: "sound",
  datatype: "UINT8",
  shape: [1, 49, 40],
  bytes: 1960,
  accepts: ["audio/wav"],
  preprocessing: {
    kind: "log-mel",
    sampleRateHz: 8000,
    windowSamples: 256,
    hopSamples: 160,
    frames: 49,
    mels: 40,
    lowHz: 60,
    highHz: 4000,
    floor: 1e-6,
    scale: 0.08,
    offset: -14,
    mean: -5,
    std: 4,
  },
};
const TOKENS = {
  name: "words",
  datatype: "UINT16",
  shape: [48],
  bytes: 96,
  accepts: ["text/plain"],
  preprocessing: {
    kind: "tokens",
    segments: [
      { name: "subject", length: 16 },
      { name: "text", length: 32 },
    ],
    buckets: 100,
  },
};
const TABLE = {
  name: "row",
  datatype: "UINT8",
  shape: [2],
  bytes: 2,
  accepts: ["application/json"],
  preprocessing: { kind: "table", features: ["red", "green"], mean: [1, 2], std: [1, 2] },
};
const BYTES = { ...TABLE, accepts: ["text/plain"], preprocessing: { kind: "bytes", length: 2 } };

test("a sound application comes out as it went in", () => {
  expect(tiny).toEqual(tinyJson());
});

test.each([LOG_MEL, TOKENS, TABLE, BYTES])("so does one with input $preprocessing.kind", (input) => {
  expect(parseApplication(spoilt({ input }))).toMatchObject({ input });
});

test.each(await applicationNames())("models/%s/app.json is sound", (name) => {
  const json: unknown = JSON.parse(readFileSync(path.join(MODELS, name, "app.json"), "utf8"));
  expect(parseApplication(json)).toEqual(json);
});

describe("the error names the exact field, its value and what was expected", () => {
  // Field to spoil, wrong value, the fields the error must name if they are others.
  test.each<[string, unknown, ...string[]]>([
    ["name", "Tiny One"],
    ["name", undefined],
    ["title", "  "],
    ["task", "poetry"],
    ["labels", ["one"]],
    ["labels", ["a", "b", "a"], "labels[2]"],
    ["quality.samples.test", 0],
    ["input.datatype", "FLOAT"],
    ["input.datatype", "FP32", "input.datatype", "input.bytes"],
    ["input.bytes", 65],
    ["input.shape", [1, 8, 8.5], "input.shape[2]"],
    ["input.shape", [1, 4, 16]],
    ["input.preprocessing", "image"],
    ["input.preprocessing.kind", "smell"],
    ["input.preprocessing.kind", undefined],
    ["input.preprocessing.channels", 2],
    ["input.preprocessing.mean", [0.5, 0.5]],
    ["input.preprocessing.std[0]", 0],
    ["input.preprocessing.mels", 40],
    ["input.accepts[0]", "png"],
    ["deadline.maxMs", 100, "deadline.defaultMs"],
    ["deadline.maxMs", 1e9],
    ["rungs", []],
    ["rungs[0].tiers", []],
    ["rungs[0].tiers", ["edge", "sea"], "rungs[0].tiers[1]"],
    ["rungs[0].tiers", ["edge", "edge", "node"], "rungs[0].tiers[1]"],
    ["rungs[0].tiers", ["node"], "rungs[1].tiers[0]"],
    ["rungs[1].resumesFrom", 1, "rungs[0].cut", "rungs[1].resumesFrom"],
    ["rungs[1].resumesFrom", 2, "rungs[0].cut", "rungs[1].resumesFrom"],
    ["rungs[1].resumesFrom", -1],
    ["rungs[1].resumesFrom", "start"],
    ["rungs[1].resumesFrom", "input", "rungs[0].cut", "rungs[1].mflops.cumulative"],
    ["rungs[1].take", 8],
    ["rungs[0].take", 8],
    ["rungs[1].cut", { shape: [4], bytes: { f32: 16, u8: 4, u4: 2 }, lostPoints: { u8: 0, u4: 0 } }],
    ["rungs[0].cut", undefined],
    ["rungs[0].cut.shape", [4096, 4096]],
    ["rungs[0].cut.bytes.u4", "few"],
    ["rungs[0].cut.lostPoints", { u8: 0 }, "rungs[0].cut.lostPoints.u4"],
    ["rungs[0].cut.lostPoints", { u8: -0.1, u4: 0 }, "rungs[0].cut.lostPoints.u8"],
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
    ["rungs[1].evidence[2].to", 0.65, "rungs[1].evidence[2].to", "rungs[1].evidence[3].from"],
    ["rungs[1].evidence[5].to", 0.99],
    ["rungs[1].evidence[0].right", [0.5, 0.6]],
    ["rungs[1].evidence[0].right[2]", 1.2],
    ["rungs[1].evidence[0].count", -1],
    ["rungs[1].evidence", []],
    ["rungs[1].reference", 3],
  ])("%s = %j", (path, value, ...named) => {
    const error = faultsIn(spoilt({ [path]: value }));
    expect(error.faults.map((fault) => fault.path)).toEqual(named.length > 0 ? named : [path]);
    for (const line of error.message.split("\n")) expect(line).toMatch(/^\S+ is .+; expected .+$/);
  });

  test.each<[{ preprocessing: object }, string, unknown, string?]>([
    [LOG_MEL, "windowSamples", 300],
    [LOG_MEL, "frames", 500, "input.shape, input.preprocessing.frames"],
    [LOG_MEL, "lowHz", 4000],
    [LOG_MEL, "highHz", 4001],
    [LOG_MEL, "sampleRateHz", 96_000],
    [TOKENS, "segments[1].name", "subject"],
    [TOKENS, "segments[1].name", "Two words"],
    [TOKENS, "buckets", 65_536],
    [TOKENS, "bigramBuckets", 0],
    [TABLE, "features[1]", "red"],
    [TABLE, "std", [1]],
    [BYTES, "length", 3, "input.shape"],
  ])("input $preprocessing.kind: %s = %j", (input, field, value, named = `input.preprocessing.${field}`) => {
    const json = spoilt({ input: structuredClone(input), [`input.preprocessing.${field}`]: value });
    expect(
      faultsIn(json)
        .faults.map((fault) => fault.path)
        .join(", "),
    ).toBe(named);
  });

  test("a stage takes no more of a row than there is", () => {
    expect(parseApplication(spoilt({ input: TABLE, "rungs[0].take": 2 }))).toMatchObject({
      rungs: [{ take: 2 }, {}, {}],
    });
    const { faults } = faultsIn(spoilt({ input: TABLE, "rungs[0].take": 3, "rungs[1].take": 1 }));
    expect(faults.map((fault) => fault.path)).toEqual(["rungs[0].take", "rungs[1].take"]);
  });

  test.each([[null], [[]], ["app"], [undefined]])("the whole: %j", (json) => {
    expect(() => parseApplication(json)).toThrow(/^the application is .*; expected an object$/);
  });
});

test("says what to write instead, for every fault at once", () => {
  const json = spoilt({
    "rungs[2].cut": { shape: [4], bytes: { f32: 16, u8: 4, u4: "few" }, lostPoints: { u8: 0, u4: 0 } },
    platform: "Sea",
    x: 1,
  });
  expect(faultsIn(json).message.split("\n")).toEqual([
    "x is 1; expected no such field; there is name, platform, version, title, task, labels, input, quality, deadline, rungs",
    expect.stringMatching(/^platform is "Sea"; expected a text: .*lower-case letters, digits and hyphens/),
    'rungs[2].cut.bytes.u4 is "few"; expected a number above 0: as 4-bit codes, deflated where that is smaller',
  ]);
});
