import { afterAll, beforeAll, expect, test } from "vitest";
import { System, type Sample } from "./support.ts";

/** A deploy or crash of the platform's side: keys, nodes and what was learnt come back from disk. */
let system: System;
let unsure: Sample[];

beforeAll(async () => {
  system = await System.start({ nodes: 1 });
  ({ unsure } = await system.sortByConfidence());
});
afterAll(() => system?.close());

test("workerd is restarted: the key works, the agent reconnects by itself and is used", async () => {
  await system.untilNodeAnswers(unsure[0] as Sample);
  await system.cluster.restartWorkerd();
  expect((await system.infer(unsure[0] as Sample)).deadline_met).toBe(true);
  expect(await system.untilNodeAnswers(unsure[0] as Sample)).toMatchObject({ node: system.cluster.nodes[0]?.id });
});

test("clients that leave in the middle of things do the others no harm", async () => {
  const sample = unsure[0] as Sample;
  const controller = new AbortController();
  const left = Array.from({ length: 32 }, () =>
    system
      .post("/v1/infer/clothing?deadline_ms=5000", new Uint8Array(sample.png), { signal: controller.signal })
      .catch(() => null),
  );
  const stayed = system.infer(sample);
  controller.abort();
  await Promise.all(left);
  expect((await stayed).deadline_met).toBe(true);
  const next = await Promise.all(Array.from({ length: 8 }, () => system.infer(sample)));
  for (const reply of next) expect(reply).toMatchObject({ deadline_met: true, degraded: false });
});

test("a deadline that passes in mid-run is answered with what has finished, and the edge serves on", async () => {
  const sample = unsure[0] as Sample;
  const outcomes = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const response = await system.post("/v1/infer/clothing?deadline_ms=12", new Uint8Array(sample.png));
      await response.arrayBuffer();
      return response.status;
    }),
  );
  // Overload is refused or answered, never an error of ours, and leaves nothing behind.
  expect(outcomes.every((status) => [200, 429, 504].includes(status))).toBe(true);
  expect((await system.infer(sample)).deadline_met).toBe(true);
});
