/**
 * `npm run models:profile -- <application>`: measures each stage alone, batch 1, one thread, in ONNX Runtime's WASM
 * build and natively, and writes the medians into app.json as `referenceMs`. This machine becomes the reference device.
 */
import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { openNative } from "../nodes/onnx.ts";
import type { Application } from "../protocol/application.ts";
import { rungAt } from "../control/ladder.ts";
import { elements } from "../runtime/application.ts";
import { exampleInput, leading, normalise } from "../runtime/normalise.ts";
import type { RuntimeTensor, Session } from "../runtime/session.ts";
import { loadApplication, MODELS, openWasm } from "./models-folder.ts";

/** V8 replaces its first, slow code for a WASM module only after about a second of running. */
const WARM_UP_MS = 1500;
const MEASURE_MS = 1500;
const FEWEST_RUNS = 50;

async function medianMs(session: Session, x: RuntimeTensor): Promise<number> {
  for (const until = performance.now() + WARM_UP_MS; performance.now() < until;) await session.run(x);
  const times: number[] = [];
  for (const until = performance.now() + MEASURE_MS; performance.now() < until || times.length < FEWEST_RUNS;) {
    const startedAt = performance.now();
    await session.run(x);
    times.push(performance.now() - startedAt);
  }
  times.sort((a, b) => a - b);
  return Number((times[Math.floor(times.length / 2)] ?? Number.NaN).toFixed(4));
}

/** What the stage of a rung reads, filled with values of no meaning: a dense network takes as long for any. */
function inputOf(application: Application, index: number): RuntimeTensor {
  const { resumesFrom, take } = rungAt(application, index);
  if (resumesFrom === "input") return leading(normalise(application, exampleInput(application)), take);
  const shape = rungAt(application, resumesFrom).cut?.shape ?? [];
  const data = Float32Array.from({ length: elements(shape) }, (_, i) => ((i * 37) % 100) / 100);
  return { type: "float32", data, dims: [1, ...shape] };
}

const name = process.argv[2];
if (!name) {
  console.error("usage: npm run models:profile -- <application>");
  process.exit(2);
}
const application = await loadApplication(name);
const path = join(MODELS, name, "app.json");
const json = JSON.parse(await readFile(path, "utf8")) as { rungs: { referenceMs: { edge: number; node: number } }[] };
console.log(`${cpus()[0]?.model ?? "unknown processor"}, one thread; median milliseconds per stage`);
for (const [index, rung] of application.rungs.entries()) {
  const file = join(MODELS, name, rung.stage);
  const x = inputOf(application, index);
  const edge = await medianMs(await openWasm(file), x);
  const node = await medianMs(await openNative(file), x);
  const target = json.rungs[index];
  if (target) target.referenceMs = { edge, node };
  console.log(`${rung.name.padEnd(4)} WASM ${edge.toFixed(3).padStart(8)}   native ${node.toFixed(3).padStart(8)}`);
}
await writeFile(path, `${JSON.stringify(json, null, 2)}\n`);
process.exit(0);
