/**
 * `node scripts/stage-times.ts <input.json> <a.onnx> <b.onnx> …`: how long one run of each file takes in ONNX Runtime's
 * WASM build, one thread, on the same input `{"type", "dims", "data"}`. Prints the median milliseconds as a JSON array,
 * in the order of the files. The files take turns, so that a machine busy for a while slows all of them alike:
 * the ratios hold where the milliseconds do not.
 */
import { readFile } from "node:fs/promises";
import type { RuntimeTensor, Session } from "../runtime/session.ts";
import { openWasm } from "./models-folder.ts";

/** V8 replaces its first, slow code for a WASM module only after about a second of running. */
const WARM_UP_MS = 1500;
const MEASURE_MS = 2000;
const RUNS_A_TURN = 10;
const FEWEST_RUNS = 200;

type Input = { type: "float32" | "int64"; dims: number[]; data: number[] };

function tensor({ type, dims, data }: Input): RuntimeTensor {
  return type === "float32"
    ? { type, dims, data: Float32Array.from(data) }
    : { type, dims, data: BigInt64Array.from(data, BigInt) };
}

const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const [inputPath, ...paths] = process.argv.slice(2);
if (inputPath === undefined || paths.length === 0) {
  console.error("usage: node scripts/stage-times.ts <input.json> <stage.onnx> …");
  process.exit(2);
}
const x = tensor(JSON.parse(await readFile(inputPath, "utf8")) as Input);
const sessions: Session[] = [];
for (const path of paths) sessions.push(await openWasm(path));
for (const session of sessions) {
  for (const until = performance.now() + WARM_UP_MS; performance.now() < until;) await session.run(x);
}
const times = paths.map((): number[] => []);
for (
  const until = performance.now() + MEASURE_MS * paths.length;
  performance.now() < until || (times[0]?.length ?? 0) < FEWEST_RUNS;
) {
  for (const [i, session] of sessions.entries()) {
    for (let run = 0; run < RUNS_A_TURN; run++) {
      const startedAt = performance.now();
      await session.run(x);
      times[i]?.push(performance.now() - startedAt);
    }
  }
}
console.log(JSON.stringify(times.map((values) => Number(median(values).toFixed(4)))));
process.exit(0);
