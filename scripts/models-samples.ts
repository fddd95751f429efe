/**
 * `npm run models:samples`: runs every committed sample of every application through ONNX Runtime's WASM build and
 * natively, stage after stage as it is served, and each chain also as the one graph it was cut from. Exit status 1 when
 * an answer differs: by runtime, or between stages and monolith, whose logits must be the same to the bit.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { chain } from "../control/ladder.ts";
import type { Application } from "../protocol/application.ts";
import { leading, normalise } from "../runtime/normalise.ts";
import type { RuntimeTensor, Session } from "../runtime/session.ts";
import { openNative } from "../nodes/onnx.ts";
import { applicationNames, loadApplication, MODELS, openWasm } from "./models-folder.ts";
import { chainOnnx } from "./onnx-chain.ts";
import { sampleInput } from "./sample-input.ts";

type Runtime = { name: string; open: (file: string) => Promise<Session> };

const RUNTIMES: Runtime[] = [
  { name: "web", open: openWasm },
  { name: "node", open: (file) => openNative(file) },
];

/** The chains of a ladder that end nowhere else: rung indices from the input on. */
function chains(application: Application): number[][] {
  const { rungs } = application;
  const ends = [...rungs.keys()].filter((index) => !rungs.some((rung) => rung.resumesFrom === index));
  return ends.map((end) => chain(application, end, "input") ?? []);
}

const argmax = (logits: Float32Array): number => logits.indexOf(Math.max(...logits));

async function logitsOf(session: Session, x: RuntimeTensor, output: string): Promise<Float32Array> {
  const tensor = (await session.run(x))[output];
  if (tensor?.type !== "float32") throw new Error(`no output ${output}`);
  return tensor.data;
}

/** What differs for one application; empty when all agree. */
async function check(name: string, scratch: string): Promise<string[]> {
  const application = await loadApplication(name);
  const folder = path.join(MODELS, name);
  const stages = await Promise.all(application.rungs.map(({ stage }) => readFile(path.join(folder, stage))));
  const files = Object.keys(JSON.parse(await readFile(path.join(folder, "samples/labels.json"), "utf8")) as object);
  const inputs = await Promise.all(files.map((file) => sampleInput(application, path.join(folder, "samples", file))));
  const wrong: string[] = [];
  const answers = new Map<string, number>();
  for (const [c, way] of chains(application).entries()) {
    const monolith = path.join(scratch, `${name}-${c}.onnx`);
    await writeFile(monolith, chainOnnx(way.map((rung) => stages[rung] as Uint8Array)));
    for (const { name: runtime, open } of RUNTIMES) {
      const whole = await open(monolith);
      const staged = await Promise.all(
        way.map((rung) => open(path.join(folder, application.rungs[rung]?.stage ?? ""))),
      );
      for (const [i, input] of inputs.entries()) {
        const first = application.rungs[way[0] ?? 0];
        let x = leading(normalise(application, input), first?.take);
        const all = await whole.run(x);
        for (const [k, session] of staged.entries()) {
          const outputs = await session.run(x);
          const logits = await logitsOf({ outputs: [], run: async () => outputs }, x, "logits");
          const together = all[`logits${k}`];
          const rung = application.rungs[way[k] ?? 0]?.name ?? "";
          const at = `${name} ${files[i]} ${rung}`;
          if (together?.type !== "float32" || !logits.every((value, j) => value === together.data[j])) {
            wrong.push(`${at} on ${runtime}: staged and monolithic logits differ`);
          }
          const answer = argmax(logits);
          if ((answers.get(at) ?? answer) !== answer) wrong.push(`${at}: web and node answer differently`);
          answers.set(at, answer);
          if (outputs["feat"]) x = outputs["feat"];
        }
      }
    }
  }
  console.log(`${name}: ${files.length} samples, ${application.rungs.length} rungs, ${wrong.length} differences`);
  return wrong;
}

const scratch = await mkdtemp(path.join(tmpdir(), "dystri-samples-"));
const wrong: string[] = [];
try {
  for (const name of await applicationNames()) wrong.push(...(await check(name, scratch)));
} finally {
  await rm(scratch, { recursive: true, force: true });
}
for (const line of wrong) console.error(line);
process.exit(wrong.length === 0 ? 0 : 1);
