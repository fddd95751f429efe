import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { generate } from "../../scripts/generate.ts";

let root: string;
const fixture = path.join(import.meta.dirname, "../fixtures/tiny");
const app = () => path.join(root, "models/tiny/app.json");
const generated = (file: string): string => readFileSync(path.join(root, "functions/generated", file), "utf8");

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), "dystri-generate-"));
  mkdirSync(path.join(root, "functions/inference"), { recursive: true });
  writeFileSync(path.join(root, "functions/inference/vision.toml"), "");
});

afterEach(() => rmSync(root, { recursive: true }));

test("without models there is an empty catalogue and an empty bundle per Worker", () => {
  expect(generate(root)).toEqual(["catalogue.ts", "vision.ts"]);
  expect(generated("catalogue.ts")).toContain("applications: readonly Application[] = [];");
  expect(generated("vision.ts")).toContain("applications: [],");
});

test("an application's contract is in the catalogue, its edge stages and no others are in its platform's bundle", () => {
  cpSync(fixture, path.join(root, "models/tiny"), { recursive: true });
  mkdirSync(path.join(root, "models/training"));
  generate(root);
  const bundle = generated("vision.ts");
  for (const stage of ["e1", "e2"]) expect(bundle).toContain(`from "../../models/tiny/${stage}.onnx"`);
  expect(bundle).not.toContain("v.onnx");
  expect(bundle).toMatch(/stages: \[stage0x0, stage0x1, null\]/);
  const [, json] = generated("catalogue.ts").split("readonly Application[] = ") as [string, string];
  expect(JSON.parse(json.replace(/;\s*$/, ""))).toEqual([JSON.parse(readFileSync(app(), "utf8"))]);
});

test("a second run writes nothing, a change writes only what changed", () => {
  cpSync(fixture, path.join(root, "models/tiny"), { recursive: true });
  generate(root);
  const before = statSync(path.join(root, "functions/generated/vision.ts")).mtimeMs;
  expect(generate(root)).toEqual([]);
  writeFileSync(app(), readFileSync(app(), "utf8").replace("1.0.0", "1.0.1"));
  expect(generate(root)).toEqual(["catalogue.ts"]);
  expect(statSync(path.join(root, "functions/generated/vision.ts")).mtimeMs).toBe(before);
});

test("a bundle whose Worker is gone is removed", () => {
  writeFileSync(path.join(root, "functions/inference/audio.toml"), "");
  expect(generate(root)).toContain("audio.ts");
  rmSync(path.join(root, "functions/inference/audio.toml"));
  generate(root);
  expect(() => generated("audio.ts")).toThrow(/ENOENT/);
});

test.each([
  ['"to": 0.65', '"to": 0.6', "models/tiny/app.json: rungs[0].evidence[2].from is 0.65; expected 0.6"],
  ['"name": "tiny"', '"name": "small"', 'models/tiny/app.json: name is "small"; expected "tiny"'],
  [
    '"e2.onnx"',
    '"e9.onnx"',
    'models/tiny/app.json: rungs[1].stage is "e9.onnx"; expected the name of a file in models/tiny',
  ],
  [
    '"vision"',
    '"smell"',
    'models/tiny/app.json: platform is "smell"; expected one of "vision" (functions/inference/*.toml)',
  ],
  ['"u4": 25', '"u4": "few"', 'models/tiny/app.json: rungs[0].cut.bytes.u4 is "few"; expected a number above 0'],
  ["{", "", "models/tiny/app.json: "],
])("a mistake is named: %s → %s", (right, wrong, message) => {
  cpSync(fixture, path.join(root, "models/tiny"), { recursive: true });
  writeFileSync(app(), readFileSync(app(), "utf8").replace(right, wrong));
  expect(() => generate(root)).toThrow(message);
});

test("every mistake of every folder is named, a line each", () => {
  for (const folder of ["tiny", "other"]) cpSync(fixture, path.join(root, "models", folder), { recursive: true });
  writeFileSync(app(), readFileSync(app(), "utf8").replaceAll(/"temperature": [\d.]+/g, '"temperature": 0'));
  const fields: string[] = [];
  try {
    generate(root);
  } catch (error) {
    fields.push(...(error as Error).message.split("\n").map((line) => line.split(" is ")[0] ?? ""));
  }
  expect(fields).toEqual([
    "models/other/app.json: name",
    ...[0, 1, 2].map((rung) => `models/tiny/app.json: rungs[${rung}].temperature`),
  ]);
});
