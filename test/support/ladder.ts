/** A ladder with round figures, so that tests can say in their own words what a plan should do. */
import type { Application, Rung } from "../../protocol/application.ts";
import type { NodeEntry } from "../../protocol/fleet.ts";
import type { NodeView } from "../../protocol/plan.ts";

const BINS = [
  { from: 0, to: 0.5 },
  { from: 0.5, to: 0.9 },
  { from: 0.9, to: 1 },
];

/** P(right at rung m | bin): unsure inputs gain from every deeper rung, sure ones lose a little. */
const RIGHT = [
  [0.4, 0.5, 0.6, 0.8],
  [0.7, 0.8, 0.85, 0.9],
  [0.99, 0.988, 0.985, 0.98],
];

function rung(index: number, over: Partial<Rung>): Rung {
  return {
    name: `e${index + 1}`,
    stage: `e${index + 1}.onnx`,
    resumesFrom: index === 0 ? "input" : index - 1,
    tiers: ["device", "edge", "node"],
    mflops: { own: 1, cumulative: index + 1 },
    referenceMs: { edge: 1, node: 0.2 },
    temperature: 1,
    quality: { validation: 0.8 + 0.04 * index, test: 0.8 + 0.04 * index },
    evidence: BINS.map((bin, b) => ({ ...bin, count: 100, right: RIGHT[b] as number[] })),
    ...over,
  };
}

/** Three edge exits of 1, 1 and 1 ms, and a heavy variant of 5 ms for nodes. */
export function ladder(over: Partial<Application> = {}): Application {
  return {
    name: "shapes",
    platform: "vision",
    version: "1",
    title: "Shapes",
    task: "image-classification",
    labels: ["a", "b", "c"],
    input: {
      name: "image",
      datatype: "UINT8",
      shape: [1, 8, 8],
      bytes: 64,
      accepts: ["image/png"],
      preprocessing: { kind: "image", width: 8, height: 8, channels: 1, mean: [0], std: [1] },
    },
    quality: { metric: "top-1 accuracy", samples: { validation: 300, test: 300 } },
    deadline: { defaultMs: 200, maxMs: 10_000 },
    rungs: [
      rung(0, {}),
      rung(1, {}),
      rung(2, {}),
      rung(3, {
        name: "v",
        stage: "v.onnx",
        resumesFrom: "input",
        tiers: ["node"],
        referenceMs: { edge: 40, node: 5 },
      }),
    ],
    ...over,
  };
}

export function nodeView(node: string, over: Partial<NodeView> = {}): NodeView {
  return { node, epoch: 1, seq: 1, price: 0, slowdown: 1, tail: 1.2, backlogMs: [0, 0, 0, 0, 0, 0], ageMs: 0, ...over };
}

/** A node that serves every rung of `ladder()`. */
export function nodeEntry(node: string, over: Partial<NodeView> = {}): NodeEntry {
  const profile = (medianMs: number, quality: number) => ({
    medianMs,
    p95Ms: medianMs * 1.2,
    quality,
    gain: 0.1,
    stageMs: [],
  });
  return {
    node,
    gateway: `gw:local:${node}`,
    state: "online",
    registration: {
      agentVersion: "test",
      bootId: "boot-1",
      provider: "cpu",
      device: "test",
      concurrency: 1,
      applications: {
        shapes: {
          version: "1",
          rungs: { "0": profile(0.2, 0.8), "1": profile(0.4, 0.84), "2": profile(0.6, 0.88), "3": profile(5, 0.92) },
        },
      },
    },
    load: nodeView(node, over),
  };
}
