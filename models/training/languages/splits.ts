/** The held-out snippets that `languages.prepare` made, as they would be posted. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { bytesTensor } from "../../../runtime/text-bytes.ts";
import type { Application } from "../../../protocol/application.ts";
import type { Samples, Split } from "../splits.ts";

const FOLDER = process.env["LANGUAGES_DATA"] ?? path.join(import.meta.dirname, "../../../.dystri/data/languages");

/** One "language<TAB>text" per line. Rejects with ENOENT when the file has not been made. */
export async function readSplit(split: Split): Promise<Samples> {
  const file = path.join(FOLDER, `${split}.tsv`);
  const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
  const json = await readFile(path.join(import.meta.dirname, "../../languages/app.json"), "utf8");
  const { labels, input } = JSON.parse(json) as Application;
  const { preprocessing } = input;
  if (preprocessing.kind !== "bytes") throw new Error("languages reads bytes");
  const encoder = new TextEncoder();
  return {
    source: `snippets of translated descriptions in ${file}`,
    samples: lines.map((line) => {
      const [language = "", text = ""] = line.split("\t");
      return { label: labels.indexOf(language), input: bytesTensor(encoder.encode(text), preprocessing) };
    }),
  };
}

export const install =
  "make it with models/training/languages/prepare.py (models/training/README.md says how); LANGUAGES_DATA names its --out folder";
