/**
 * `npm run models:evaluate -- <application>|all`: runs the committed stages, one after another as they are served, on
 * the application's test data, and compares each exit's accuracy with app.json. Exit status: 0 agrees, 1 does not,
 * 2 the data is not installed or the name is wrong.
 */
import { join } from "node:path";
import { chain } from "../control/ladder.ts";
import type { Application } from "../protocol/application.ts";
import { StageRunner } from "../runtime/stage-runner.ts";
import { openNative } from "../nodes/onnx.ts";
import type { TestSet, TestSetModule } from "../models/training/test-set.ts";
import { applicationNames, loadApplication, MODELS } from "./models-folder.ts";

const TOLERANCE_POINTS = 0.2;

/** Right answers per rung on the whole set. */
async function evaluate(application: Application, set: TestSet): Promise<number[]> {
  const folder = join(MODELS, application.name);
  const sessions = await Promise.all(application.rungs.map((rung) => openNative(join(folder, rung.stage))));
  const runner = new StageRunner(application, sessions);
  const right = application.rungs.map(() => 0);
  for (const [i, { input, label }] of set.samples.entries()) {
    const state = await runner.begin({ from: "input", input });
    for (const rung of application.rungs.keys()) {
      const answer = await runner.run(state, rung, 1);
      if (answer.top[0]?.[0] === label) right[rung] = (right[rung] ?? 0) + 1;
    }
    if (process.stderr.isTTY && i % 500 === 0)
      process.stderr.write(`\r${application.name}: ${i} of ${set.samples.length}`);
  }
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  return right;
}

/** Half the width of the 95 % interval of a share, in points (normal approximation). */
function interval(share: number, n: number): number {
  return 196 * Math.sqrt((share * (1 - share)) / n);
}

async function report(name: string): Promise<boolean> {
  const application = await loadApplication(name);
  const module = (await import(`../models/training/${name}/test-set.ts`)) as TestSetModule;
  let set: TestSet;
  try {
    set = await module.testSet();
  } catch (error) {
    console.error(`${name}: the test data cannot be read (${error instanceof Error ? error.message : String(error)}).`);
    console.error(`${name}: ${module.install}.`);
    process.exit(2);
  }
  const right = await evaluate(application, set);
  const n = set.samples.length;
  console.log(`${application.title}: ${n} samples, ${set.source}`);
  console.log("rung   MFLOPs   accuracy         app.json   difference");
  let agrees = true;
  for (const [index, rung] of application.rungs.entries()) {
    const share = (right[index] ?? 0) / n;
    const off = 100 * (share - rung.quality.test);
    const ok = Math.abs(off) <= TOLERANCE_POINTS;
    agrees &&= ok;
    const accuracy = `${(100 * share).toFixed(2)} ± ${interval(share, n).toFixed(2)} %`;
    const stages = chain(application, index, "input")?.length ?? 0;
    console.log(
      `${rung.name.padEnd(4)} ${rung.mflops.cumulative.toFixed(2).padStart(8)}   ${accuracy.padEnd(15)}  ${(100 * rung.quality.test).toFixed(2)} %    ` +
        `${off >= 0 ? "+" : ""}${off.toFixed(2)} points${ok ? "" : "  DISAGREES"}  (${stages} stage${stages === 1 ? "" : "s"})`,
    );
  }
  return agrees;
}

const wanted = process.argv[2];
const names = await applicationNames();
if (!wanted || (wanted !== "all" && !names.includes(wanted))) {
  console.error(`usage: npm run models:evaluate -- <application>|all; applications: ${names.join(", ") || "none"}`);
  process.exit(2);
}
const results: boolean[] = [];
for (const name of wanted === "all" ? names : [wanted]) results.push(await report(name));
process.exit(results.every(Boolean) ? 0 : 1);
