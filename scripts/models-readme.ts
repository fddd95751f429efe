/**
 * `npm run models:readme`: writes models/README.md, the ladders of all committed applications side by side, from their
 * app.json. With `--check` it writes nothing and ends with status 1 when the page is out of date.
 */
import { readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Application } from "../protocol/application.ts";
import { applicationNames, loadApplication, MODELS } from "./models-folder.ts";

const PAGE = path.join(MODELS, "README.md");

const percent = (share: number): string => (100 * share).toFixed(2);

/** Half the width of the 95 % interval of a share, in points (normal approximation). */
const interval = (share: number, n: number): string => (196 * Math.sqrt((share * (1 - share)) / n)).toFixed(2);

async function section(application: Application): Promise<string> {
  const { name, title, platform, labels, input, quality, rungs } = application;
  const n = quality.samples.test;
  const lines = [
    `## ${title}`,
    "",
    `[\`${name}\`](${name}/README.md), platform ${platform}, ${labels.length} classes, ${input.accepts.join(" or ")}, ` +
      `${input.bytes} bytes travel; ${n.toLocaleString("en")} test samples.`,
    "",
    "| rung | from | runs at | MFLOPs | ms in WASM / native | test % | validation % | file bytes |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
  ];
  for (const rung of rungs) {
    const taken = rung.take === undefined ? "input" : `input, first ${rung.take}`;
    const from = rung.resumesFrom === "input" ? taken : (rungs[rung.resumesFrom]?.name ?? "");
    const { size } = await stat(path.join(MODELS, name, rung.stage));
    const { test, validation } = rung.quality;
    lines.push(
      `| ${rung.name} | ${from} | ${rung.tiers.join(", ")} | ${rung.mflops.cumulative} | ` +
        `${rung.referenceMs.edge} / ${rung.referenceMs.node} | ${percent(test)} ± ${interval(test, n)} | ` +
        `${percent(validation)} | ${size.toLocaleString("en")} |`,
    );
  }
  return lines.join("\n");
}

async function page(): Promise<string> {
  const applications = await Promise.all((await applicationNames()).map(loadApplication));
  const sections = await Promise.all(applications.map(section));
  return `# The ladders

Written by \`npm run models:readme\` from each application's \`app.json\`. MFLOPs add up along a chain, earlier heads
included; milliseconds are the median of the stage alone on the machine that measured it, one thread; accuracies carry
their 95 % interval. \`npm run models:evaluate -- all\` repeats the test column. How they were made:
[training](training/README.md). How to add one: [applications](../docs/applications.md).

${sections.join("\n\n")}
`;
}

const text = await page();
const written = await readFile(PAGE, "utf8").catch(() => "");
if (text === written) process.exit(0);
if (process.argv.includes("--check")) {
  console.error("models/README.md is out of date; write it anew: npm run models:readme");
  process.exit(1);
}
await writeFile(PAGE, text);
console.log("wrote models/README.md");
