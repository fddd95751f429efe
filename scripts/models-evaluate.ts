/**
 * `npm run models:evaluate -- <application>|all [--write]`: runs the committed stages, one after another as they are
 * served, on the application's held-out data; compares each rung's accuracy with app.json; prints intervals, calibration,
 * the cascade by one threshold, and how well the evidence tables foretell the test split. With `--write` it stores that
 * in evaluation.json and bench/replay, and writes every card and picture anew (models-readme.ts does so without data).
 * Exit status: 0 agrees, 1 does not (nothing is written then), 2 the data is not installed or the name is wrong.
 */
import { writeFile } from "node:fs/promises";
import { encodeReplay, writeReplay } from "../bench/lib/replay.ts";
import type { Application } from "../protocol/application.ts";
import { evaluate, interval, TOLERANCE_POINTS, type Evaluation } from "./evaluation.ts";
import { answerSplits, DataMissing, fingerprint } from "./model-answers.ts";
import { evaluationPath, evaluationText, writePages } from "./model-pages.ts";
import { applicationNames, loadApplication } from "./models-folder.ts";

/** What numbers may differ by from one machine's arithmetic to another's. */
const AGREEMENT_POINTS = 0.2;
/** Of the sweep, what is worth a line. */
const PRINTED_THRESHOLDS = [0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.995];

const percent = (share: number): string => (100 * share).toFixed(2);

/** Prints the rungs; false when an accuracy is not what app.json says. */
function printRungs({ rungs }: Application, evaluation: Evaluation): boolean {
  const { samples } = evaluation;
  console.log("rung          MFLOPs   test %          app.json      validation %   app.json      ECE on test");
  let agrees = true;
  for (const [i, found] of evaluation.rungs.entries()) {
    const rung = rungs[i];
    const claimed = rung?.quality ?? { test: Number.NaN, validation: Number.NaN };
    const off = { test: 100 * (found.test - claimed.test), validation: 100 * (found.validation - claimed.validation) };
    const ok = Math.abs(off.test) <= AGREEMENT_POINTS && Math.abs(off.validation) <= AGREEMENT_POINTS;
    agrees &&= ok;
    const signed = (points: number): string => `${points < 0 ? "−" : "+"}${Math.abs(points).toFixed(2)}`;
    console.log(
      `${found.name.padEnd(8)} ${String(rung?.mflops.cumulative).padStart(11)}   ` +
        `${percent(found.test)} ± ${(100 * interval(found.test, samples.test)).toFixed(2)}    ` +
        `${percent(claimed.test)} ${signed(off.test)}   ${percent(found.validation).padEnd(12)}   ` +
        `${percent(claimed.validation)} ${signed(off.validation)}   ${found.calibrationError.toFixed(3)}` +
        (ok ? "" : "   DISAGREES"),
    );
  }
  return agrees;
}

function printCascade({ sweep, chosen, everyRung }: Evaluation): void {
  console.log("cascade by one threshold, swept on test: accuracy %, mean MFLOPs");
  for (const { threshold, accuracy, mflops } of sweep.filter((point) => PRINTED_THRESHOLDS.includes(point.threshold))) {
    console.log(`   ${threshold.toFixed(3)}   ${percent(accuracy)}   ${mflops}`);
  }
  console.log(`   all run ${percent(everyRung.accuracy)}   ${everyRung.mflops}`);
  console.log(
    `chosen on validation, the cheapest within ${TOLERANCE_POINTS} points of the best there: threshold ${chosen.threshold} ` +
      `(${percent(chosen.validation.accuracy)} % at ${chosen.validation.mflops}); on test ` +
      `${percent(chosen.test.accuracy)} % at ${chosen.test.mflops}; stop at each rung: ${chosen.stops.join(", ")}`,
  );
}

function printEvidence({ evidence }: Evaluation): void {
  console.log(
    `evidence against test: ${evidence.entries} entries differ by ${evidence.meanDifference} on average ` +
      `(${evidence.byChance} by chance alone), by ${evidence.worstDifference} at worst; ` +
      `promised − found is ${evidence.meanExcess} on average`,
  );
}

/** True when the ladder is as app.json says. Rejects with DataMissing. */
async function report(name: string, write: boolean): Promise<boolean> {
  const application = await loadApplication(name);
  const of = await fingerprint(application);
  const { validation, test, source } = await answerSplits(application);
  const evaluation = evaluate(application, of, validation, test);
  console.log(`\n${application.title}: ${evaluation.samples.test} samples, ${source}`);
  const agrees = printRungs(application, evaluation);
  printCascade(evaluation);
  printEvidence(evaluation);
  if (write && agrees) {
    await writeFile(evaluationPath(name), evaluationText(evaluation));
    await writeReplay(name, encodeReplay(application, of, { validation, test }));
  }
  return agrees;
}

const [wanted, ...flags] = process.argv.slice(2);
const names = await applicationNames();
const write = flags.includes("--write");
if (!wanted || (wanted !== "all" && !names.includes(wanted)) || flags.some((flag) => flag !== "--write")) {
  console.error(
    `usage: npm run models:evaluate -- <application>|all [--write]; applications: ${names.join(", ") || "none"}`,
  );
  process.exit(2);
}
try {
  const results: boolean[] = [];
  for (const name of wanted === "all" ? names : [wanted]) results.push(await report(name, write));
  if (write) {
    const { written, problems } = await writePages();
    for (const page of written) console.log(`wrote ${page}`);
    for (const problem of problems) console.error(problem);
    if (problems.length > 0) process.exit(1);
  }
  process.exit(results.every(Boolean) ? 0 : 1);
} catch (error) {
  if (!(error instanceof DataMissing)) throw error;
  console.error(error.message);
  process.exit(2);
}
