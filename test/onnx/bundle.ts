/** The fixture applications as a bundle, as scripts/generate.ts would write it. */
import type { BundledApplication, PlatformBundle } from "../../functions/inference/bundle.ts";
import type { Application, CutSpec, Rung } from "../../protocol/application.ts";
import json from "../fixtures/tiny/app.json";
import e1 from "../fixtures/tiny/e1.onnx";
import e2 from "../fixtures/tiny/e2.onnx";
import slow from "../fixtures/tiny/slow.onnx";

export const tiny: Application = json as Application;

/** Profile milliseconds of a slow stage: far above what it takes, so that a busy machine changes no decision. */
export const SLOW_MS = 400;
export const SLOW_STAGES = 4;

/**
 * Tiny's first exit, then four stages that each take some milliseconds: for tests that need a job in mid-run. Its cuts
 * claim to lose nothing by 4 bits.
 */
function slowApplication(): BundledApplication {
  const [tinyFirst] = tiny.rungs as [Rung & { cut: CutSpec }];
  const first: Rung = { ...tinyFirst, cut: { ...tinyFirst.cut, lostPoints: { u8: 0, u4: 0 } } };
  const rungs = Array.from({ length: SLOW_STAGES }, (_, i): Rung => ({
    ...first,
    name: `s${i + 1}`,
    stage: "slow.onnx",
    resumesFrom: i,
    referenceMs: { edge: SLOW_MS, node: SLOW_MS },
  }));
  return {
    application: { ...tiny, name: "slow", rungs: [first, ...rungs] },
    stages: [e1, ...rungs.map(() => slow)],
  };
}

export const bundle: PlatformBundle = {
  platform: "vision",
  applications: [{ application: tiny, stages: [e1, e2, null] }, slowApplication()],
};
