import { describe, expect, test } from "vitest";
import { encodeReplay, parseReplay, readReplay, SPLITS, type RungColumns } from "../../bench/lib/replay.ts";
import { applicationNames, loadApplication } from "../../scripts/models-folder.ts";

const application = { name: "shapes", rungs: [{ name: "a" }, { name: "b" }] };

const columns = (confidence: number[], bin: number[], right: number[]): RungColumns => ({
  confidence: Float64Array.from(confidence),
  bin: Uint8Array.from(bin),
  right: Uint8Array.from(right),
});

const text = encodeReplay(application, "cafe", {
  validation: [columns([0.2, 1, 0.5], [0, 7, 2], [0, 1, 1]), columns([0.4, 0.6, 0.8], [1, 2, 3], [1, 0, 1])],
  test: [columns([0.1], [0], [1]), columns([0.9], [4], [0])],
});

describe("a replay file", () => {
  test("gives back each rung's bin and right exactly, confidence to 1/510", () => {
    const { splits, ...head } = parseReplay(text);
    expect(head).toEqual({ application: "shapes", of: "cafe", rungs: ["a", "b"] });
    expect([splits.validation.count, splits.test.count]).toEqual([3, 1]);
    expect(splits.validation.answer(1, 0)).toEqual({ confidence: 1, bin: 7, right: true });
    expect(splits.validation.answer(1, 1)).toMatchObject({ bin: 2, right: false });
    expect(splits.validation.answer(2, 0)).toMatchObject({ bin: 2, right: true });
    expect(splits.test.answer(0, 1)).toMatchObject({ bin: 4, right: false });
    expect(Math.abs(splits.validation.answer(0, 0).confidence - 0.2)).toBeLessThanOrEqual(1 / 510);
  });

  test("has no answers beyond its rungs and samples", () => {
    const { validation } = parseReplay(text).splits;
    for (const [sample, rung] of [
      [3, 0],
      [0, 2],
      [-1, 0],
      [0, -1],
    ] as const) {
      expect(() => validation.answer(sample, rung)).toThrow(RangeError);
    }
  });

  test.each([
    ["another format", { format: "dystri-replay-2" }, /format/],
    ["no rungs", { rungs: undefined }, /rungs/],
    ["a rung too many", { rungs: ["a", "b", "c"] }, /12 bytes are not the answers of 3 rungs to 3 samples/],
    ["a split missing", { splits: {} }, /validation split is missing/],
  ])("with %s is refused, saying so", (_, change, message) => {
    expect(() => parseReplay(JSON.stringify({ ...(JSON.parse(text) as object), ...change }))).toThrow(message);
  });
});

test.each(await applicationNames())(
  "the committed replay of %s is right as often as app.json says, and at most 300 KB",
  async (name) => {
    const { rungs, quality } = await loadApplication(name);
    const { splits, rungs: names } = await readReplay(name);
    expect(names).toEqual(rungs.map((rung) => rung.name));
    for (const split of SPLITS) {
      const { count } = splits[split];
      expect(count).toBe(quality.samples[split]);
      for (const [index, rung] of rungs.entries()) {
        let right = 0;
        for (let sample = 0; sample < count; sample++) right += splits[split].answer(sample, index).right ? 1 : 0;
        expect(Math.abs(right / count - rung.quality[split])).toBeLessThan(0.002);
      }
    }
  },
);
