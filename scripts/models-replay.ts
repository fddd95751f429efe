/**
 * `npm run models:replay -- <application>|all`: runs the committed stages on validation and test and writes
 * bench/replay/<application>.json, what a simulation draws inputs from (bench/lib/replay.ts describes it).
 * `models:evaluate --write` writes the same on its way. Exit status 2: the data is not installed or the name is wrong.
 */
import { DataMissing, answerSplits, fingerprint } from "./model-answers.ts";
import { encodeReplay, writeReplay } from "../bench/lib/replay.ts";
import { applicationNames, loadApplication } from "./models-folder.ts";

const wanted = process.argv[2];
const names = await applicationNames();
if (!wanted || (wanted !== "all" && !names.includes(wanted))) {
  console.error(`usage: npm run models:replay -- <application>|all; applications: ${names.join(", ") || "none"}`);
  process.exit(2);
}
try {
  for (const name of wanted === "all" ? names : [wanted]) {
    const application = await loadApplication(name);
    const text = encodeReplay(application, await fingerprint(application), await answerSplits(application));
    console.log(`wrote ${await writeReplay(name, text)}, ${text.length.toLocaleString("en")} bytes`);
  }
  process.exit(0);
} catch (error) {
  if (!(error instanceof DataMissing)) throw error;
  console.error(error.message);
  process.exit(2);
}
