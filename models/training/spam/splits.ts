/** The held-out mails that `spam.prepare` made, as they would be posted. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { tokensTensor } from "../../../runtime/text-tokens.ts";
import type { Application } from "../../../protocol/application.ts";
import type { Samples, Split } from "../splits.ts";

const FOLDER = process.env["SPAM_DATA"] ?? path.join(import.meta.dirname, "../../../.dystri/data/spam");

/** One mail per line, as JSON. Rejects with ENOENT when the file has not been made. */
export async function readSplit(split: Split): Promise<Samples> {
  const file = path.join(FOLDER, `${split}.jsonl`);
  const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
  const json = await readFile(path.join(import.meta.dirname, "../../spam/app.json"), "utf8");
  const { labels, input } = JSON.parse(json) as Application;
  const { preprocessing } = input;
  if (preprocessing.kind !== "tokens") throw new Error("spam reads tokens");
  const encoder = new TextEncoder();
  return {
    source: `SpamAssassin mails in ${file}`,
    samples: lines.map((line) => {
      const { label, text } = JSON.parse(line) as { label: string; text: string };
      return { label: labels.indexOf(label), input: tokensTensor(encoder.encode(text), preprocessing) };
    }),
  };
}

export const install =
  "make it with models/training/spam/prepare.py (models/training/README.md says how); SPAM_DATA names its --out folder";
