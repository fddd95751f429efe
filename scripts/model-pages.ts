/**
 * The pages that are generated from app.json and evaluation.json, without data: the block of every card, its picture,
 * models/README.md and the picture of all ladders. The same files give the same bytes, so that a check can compare.
 */
import { readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { readReplay } from "../bench/lib/replay.ts";
import type { Application } from "../protocol/application.ts";
import { FEWEST_IN_BIN, interval, THRESHOLDS, TOLERANCE_POINTS, type Evaluation } from "./evaluation.ts";
import { fingerprint } from "./model-answers.ts";
import { laddersPicture, thresholdPicture } from "./model-pictures.ts";
import { applicationNames, loadApplication, MODELS } from "./models-folder.ts";

const WIDTH = 120;
const BEGIN = "<!-- evaluation:begin -->";
const END = "<!-- evaluation:end -->";

type Ladder = { application: Application; evaluation: Evaluation };

/** Pages by path relative to models/, and why others cannot be made. */
type Pages = { pages: Map<string, string>; problems: string[] };

/** Where the figures of an application are that need its data. */
export const evaluationPath = (name: string): string => path.join(MODELS, name, "evaluation.json");

/** JSON with every innermost object on one line: a line per rung, per threshold. */
export function evaluationText(evaluation: Evaluation): string {
  const text = JSON.stringify(evaluation, null, 2);
  return `${text.replace(/[[{][^[\]{}]*[\]}]/g, (inner) => inner.replace(/\s+/g, " "))}\n`;
}

const percent = (share: number): string => (100 * share).toFixed(2);
const points = (share: number): string => (100 * share).toFixed(1);
const count = (value: number): string => value.toLocaleString("en");

/** Prose in lines of at most WIDTH characters, as the pages written by hand have them. */
function wrap(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const line = lines.at(-1);
    if (line === undefined || line.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return lines.join("\n");
}

/** The ladder as a table: one row per rung. */
async function ladderTable({ application, evaluation }: Ladder): Promise<string> {
  const { name, rungs, quality } = application;
  const rows = rungs.map(async (rung, index) => {
    const taken = rung.take === undefined ? "input" : `input, first ${rung.take}`;
    const from = rung.resumesFrom === "input" ? taken : (rungs[rung.resumesFrom]?.name ?? "");
    const { size } = await stat(path.join(MODELS, name, rung.stage));
    const { test, validation } = rung.quality;
    return (
      `| ${rung.name} | ${from} | ${rung.tiers.join(", ")} | ${rung.mflops.cumulative} | ` +
      `${rung.referenceMs.edge} / ${rung.referenceMs.node} | ` +
      `${percent(test)} ± ${percent(interval(test, quality.samples.test))} | ${percent(validation)} | ` +
      `${evaluation.rungs[index]?.calibrationError.toFixed(3)} | ${count(size)} |`
    );
  });
  return [
    "| rung | from | runs at | MFLOPs | ms in WASM / native | test % | validation % | ECE | file bytes |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ...(await Promise.all(rows)),
  ].join("\n");
}

/** What the chosen threshold brings, in a sentence. */
function chosenSentence({ application, evaluation }: Ladder): string {
  const { chosen, everyRung } = evaluation;
  const share = Math.round((100 * chosen.test.mflops) / everyRung.mflops);
  const stops = application.rungs.map(({ name }, i) => `${name} ${points(chosen.stops[i] ?? 0)} %`).join(", ");
  return (
    `With the threshold ${chosen.threshold}, chosen on validation, ${percent(chosen.test.accuracy)} % are right on test ` +
    `at ${chosen.test.mflops} MFLOPs, ${share} % of running every rung (${percent(everyRung.accuracy)} % at ` +
    `${everyRung.mflops}); inputs stop at ${stops}.`
  );
}

function evidenceSentence({ evaluation }: Ladder): string {
  const { entries, meanDifference, worstDifference, meanExcess, byChance } = evaluation.evidence;
  const excess = `They promise ${Math.abs(100 * meanExcess).toFixed(1)} points too ${meanExcess < 0 ? "little" : "much"} on average.`;
  return (
    `**Evidence on test.** The tables come from validation. Their ${entries} entries with at least ${FEWEST_IN_BIN} test ` +
    `samples in the bin are off by ${meanDifference.toFixed(3)} on average, by ${worstDifference.toFixed(3)} at worst; ` +
    `chance alone would give ${byChance.toFixed(3)} on average. ${excess}`
  );
}

async function cardBlock(ladder: Ladder): Promise<string> {
  const { application } = ladder;
  const { test, validation } = application.quality.samples;
  return `${BEGIN}
<!-- Written by npm run models:evaluate -- ${application.name} --write; npm run models:readme repeats it from app.json and evaluation.json. -->

${await ladderTable(ladder)}

${wrap(
  `Test: ${count(test)} samples, validation: ${count(validation)}. MFLOPs add up along a chain, earlier heads included;
  milliseconds are the median of the stage alone, one thread; intervals are 95 %, as if samples were independent; ECE is
  the calibration error on test with the temperature that ships, 15 bins.`,
)}

![Test accuracy against mean MFLOPs of an input: the cascade by one threshold as a curve, the rungs alone as dots](threshold.svg)

${wrap(
  `**One threshold for all exits.** Rungs run in order until one's confidence reaches the threshold; an input pays for all
  that ran. The curve sweeps the threshold from ${THRESHOLDS[0]} to ${THRESHOLDS.at(-1)} on test, so it shows what is there and chooses
  nothing. A dot above the curve is a rung that, answering everything alone, beats the cascade at that cost. The diamond is
  the cheapest threshold within ${TOLERANCE_POINTS} points of the best on validation. ${chosenSentence(ladder)}`,
)}

${wrap(evidenceSentence(ladder))}
${END}`;
}

async function readmeSection(ladder: Ladder): Promise<string> {
  const { name, title, platform, labels, input, quality } = ladder.application;
  return `## ${title}

${wrap(
  `[\`${name}\`](${name}/README.md), platform ${platform}, ${labels.length} classes, ${input.accepts.join(" or ")},
  ${input.bytes} bytes travel; ${count(quality.samples.test)} test samples.`,
)}

${await ladderTable(ladder)}

${wrap(chosenSentence(ladder))}`;
}

async function readme(ladders: readonly Ladder[]): Promise<string> {
  return `# The ladders

Written by \`npm run models:readme\` from each application's \`app.json\` and \`evaluation.json\`. MFLOPs add up along a chain,
earlier heads included; milliseconds are the median of the stage alone on the machine that measured it, one thread;
accuracies carry their 95 % interval; ECE is the calibration error on test. \`npm run models:evaluate -- all\` repeats
what needs data. How they were made: [training](training/README.md). How to add one:
[applications](../docs/applications.md).

![Test accuracy against MFLOPs, a panel per application](ladders.svg)

Dots are the rungs, each answering alone, with their 95 % interval; a line joins a rung to the one it resumes from, dots
without one restart from the input. The blue curve is the cascade by one threshold for all exits, at the mean cost of an
input: it runs the rungs in order, so it pays for those it has outgrown. It is swept on test; each section names the one
threshold that validation chose, the cheapest within ${TOLERANCE_POINTS} points of the best there.

${(await Promise.all(ladders.map(readmeSection))).join("\n\n")}
`;
}

/** The evaluation of a ladder. Rejects with what is wrong and the remedy when it is missing or of another ladder. */
async function readLadder(name: string): Promise<Ladder> {
  const remedy = `run: npm run models:evaluate -- ${name} --write`;
  const application = await loadApplication(name);
  const of = await fingerprint(application);
  const text = await readFile(evaluationPath(name), "utf8").catch(() => null);
  if (text === null) throw new Error(`models/${name}/evaluation.json is missing; ${remedy}`);
  const evaluation = JSON.parse(text) as Evaluation;
  if (evaluation.of !== of) throw new Error(`models/${name}/evaluation.json is of other stages or tables; ${remedy}`);
  const replay = await readReplay(name).catch(() => null);
  if (replay?.of !== of) throw new Error(`bench/replay/${name}.json is missing or of other stages; ${remedy}`);
  return { application, evaluation };
}

/** The card with its block anew; rejects when it has no place for one. */
async function card(ladder: Ladder): Promise<string> {
  const page = path.join(ladder.application.name, "README.md");
  const text = await readFile(path.join(MODELS, page), "utf8").catch(() => "");
  const [before, rest, ...more] = text.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`models/${page} must hold ${BEGIN} and ${END} once`);
  }
  return `${before}${await cardBlock(ladder)}${after}`;
}

async function makePages(): Promise<Pages> {
  const pages = new Map<string, string>();
  const problems: string[] = [];
  const ladders: Ladder[] = [];
  for (const name of await applicationNames()) {
    try {
      const ladder = await readLadder(name);
      ladders.push(ladder);
      pages.set(`${name}/threshold.svg`, thresholdPicture(ladder.application, ladder.evaluation));
      pages.set(`${name}/README.md`, await card(ladder));
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  }
  if (problems.length === 0) {
    pages.set("ladders.svg", laddersPicture(ladders));
    pages.set("README.md", await readme(ladders));
  }
  return { pages, problems };
}

/** Those pages that are not as they would be written now. */
async function differing(pages: Map<string, string>): Promise<string[]> {
  const found = await Promise.all(
    [...pages].map(async ([page, text]) => {
      const written = await readFile(path.join(MODELS, page), "utf8").catch(() => "");
      return written === text ? [] : [page];
    }),
  );
  return found.flat();
}

/** Writes what has changed and can be made; returns what was written, and why the rest could not be. */
export async function writePages(): Promise<{ written: string[]; problems: string[] }> {
  const { pages, problems } = await makePages();
  const written = await differing(pages);
  for (const page of written) await writeFile(path.join(MODELS, page), pages.get(page) ?? "");
  return { written: written.map((page) => `models/${page}`), problems };
}

/** What keeps the pages from being up to date; empty when they are. */
export async function outOfDate(): Promise<string[]> {
  const { pages, problems } = await makePages();
  const old = await differing(pages);
  return [...problems, ...old.map((page) => `models/${page} is out of date; run: npm run models:readme`)];
}
