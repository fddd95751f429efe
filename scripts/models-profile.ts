/**
 * `npm run models:profile -- <application>… | all`: measures each stage alone, batch 1, one thread, as a job runs it: at the
 * edge on workerd, on a node in ONNX Runtime's native build. Writes the medians into app.json as `referenceMs`. This
 * machine becomes the reference device.
 *
 * Node.js would not do in workerd's place. workerd installs no handler that lets the processor find a WASM access out
 * of bounds, so V8 checks every one in code: that costs 10 to 70 %, most where a stage is short. Node.js with
 * --disable-wasm-trap-handler shows the larger part of it; workerd with V8's --no-wasm-bounds-checks is as fast as Node.js.
 */
import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { exampleState } from "../bench/lib/example-state.ts";
import { median } from "../bench/lib/statistics.ts";
import { withProfileWorker, type StageTimer } from "../bench/lib/profile-worker.ts";
import { openNative } from "../nodes/onnx.ts";
import type { Application } from "../protocol/application.ts";
import { StageRunner } from "../runtime/stage-runner.ts";
import { applicationNames, loadApplication, MODELS } from "./models-folder.ts";

/** V8 replaces its first, slow code for a WASM module only after about a second of running. */
const WARM_UP_MS = 1500;
/** The stages take turns, and the median turn counts: a machine that is slow for some seconds is so for all of them. */
const TURNS = 9;
const TURN_MS = 200;
const FEWEST_SAMPLES = 5;
/** What the runs of one request should take: much beside the request itself, little enough to take hundreds of samples. */
const EDGE_SAMPLE_MS = 10;
const TOP_K = 1;

/** Milliseconds of samples taken one after another for `forMs`. */
async function samples(forMs: number, sample: () => Promise<number>): Promise<number[]> {
  const times: number[] = [];
  for (const until = performance.now() + forMs; performance.now() < until || times.length < FEWEST_SAMPLES;) {
    times.push(await sample());
  }
  return times;
}

const rounded = (ms: number): number => Number(ms.toFixed(4));

/** Median milliseconds of one run within one turn. */
type Turn = () => Promise<number>;

/** Warms a stage up at the edge. A turn's figure is a request's time with many runs, less that of one with none, by the number of runs. */
async function edgeTurns(timer: StageTimer, rung: number): Promise<Turn> {
  let fastestMs = EDGE_SAMPLE_MS;
  await samples(WARM_UP_MS, async () => {
    const count = Math.max(1, Math.round(EDGE_SAMPLE_MS / fastestMs));
    const tookMs = await timer(rung, count);
    fastestMs = Math.min(fastestMs, tookMs / count);
    return tookMs;
  });
  const count = Math.max(1, Math.round(EDGE_SAMPLE_MS / fastestMs));
  return async () => {
    const full: number[] = [];
    const empty = await samples(TURN_MS, async () => {
      full.push(await timer(rung, count));
      return timer(rung, 0);
    });
    return (median(full) - median(empty)) / count;
  };
}

async function nodeTurns(runner: StageRunner, rung: number): Promise<Turn> {
  const state = exampleState(runner.application, rung);
  const once = async (): Promise<number> => {
    const startedAt = performance.now();
    await runner.run(state, rung, TOP_K);
    return performance.now() - startedAt;
  };
  await samples(WARM_UP_MS, once);
  return async () => median(await samples(TURN_MS, once));
}

async function native(application: Application, folder: string): Promise<StageRunner> {
  const sessions = await Promise.all(application.rungs.map(({ stage }) => openNative(join(folder, stage))));
  return new StageRunner(application, sessions);
}

async function profile(name: string): Promise<void> {
  const folder = join(MODELS, name);
  const application = await loadApplication(name);
  const path = join(folder, "app.json");
  const json = JSON.parse(await readFile(path, "utf8")) as { rungs: { referenceMs: { edge: number; node: number } }[] };
  await withProfileWorker(application, folder, async (timer) => {
    const runner = await native(application, folder);
    const stages: { edge: Turn; node: Turn; edgeMs: number[]; nodeMs: number[] }[] = [];
    for (const rung of application.rungs.keys()) {
      const [edge, node] = [await edgeTurns(timer, rung), await nodeTurns(runner, rung)];
      stages.push({ edge, node, edgeMs: [], nodeMs: [] });
    }
    for (let turn = 0; turn < TURNS; turn++) {
      for (const stage of stages) {
        stage.edgeMs.push(await stage.edge());
        stage.nodeMs.push(await stage.node());
      }
    }
    for (const [index, rung] of application.rungs.entries()) {
      const { edgeMs, nodeMs } = stages[index] as (typeof stages)[number];
      const [edge, node] = [rounded(median(edgeMs)), rounded(median(nodeMs))];
      if (edge <= 0) throw new Error("this machine is too busy to measure on: requests without runs took longer");
      const target = json.rungs[index];
      if (target) target.referenceMs = { edge, node };
      console.log(
        `${name.padEnd(10)} ${rung.name.padEnd(4)} workerd ${edge.toFixed(3).padStart(8)}   native ${node.toFixed(3).padStart(8)}`,
      );
    }
  });
  await writeFile(path, `${JSON.stringify(json, null, 2)}\n`);
}

const names = process.argv.slice(2);
if (names.length === 0) {
  console.error("usage: npm run models:profile -- <application>… | all");
  process.exit(2);
}
console.log(`${cpus()[0]?.model ?? "unknown processor"}, one thread; median milliseconds per stage`);
for (const name of names.includes("all") ? await applicationNames() : names) await profile(name);
process.exit(0);
