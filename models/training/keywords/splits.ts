/** The held-out seconds of synthetic speech that keywords.prepare wrote: the 16-bit sound itself, heard as a posted WAV would be. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { logMelTensor } from "../../../runtime/log-mel.ts";
import { loadApplication } from "../../../scripts/models-folder.ts";
import type { Samples, Split } from "../splits.ts";

const FOLDER = process.env["KEYWORDS_DATA"] ?? join(import.meta.dirname, "../../../.dystri/data/keywords");

/** Seconds of unseen espeak-ng variants, half of them in noise. Rejects with ENOENT when they have not been made. */
export async function readSplit(split: Split): Promise<Samples> {
  const { preprocessing } = (await loadApplication("keywords")).input;
  if (preprocessing.kind !== "log-mel") throw new Error("keywords reads log-mel pictures");
  const rateHz = preprocessing.sampleRateHz;
  const [sound, labels] = await Promise.all(
    ["s16", "labels"].map((ending) => readFile(join(FOLDER, `${split}.${ending}`))),
  );
  if (!sound || !labels || sound.length !== labels.length * rateHz * 2) {
    throw new Error(`${split}.s16 and ${split}.labels in ${FOLDER} do not belong together`);
  }
  return {
    source: `synthetic speech, ${split} split in ${FOLDER}`,
    samples: Array.from(labels, (label, i) => {
      const samples = Float32Array.from(
        { length: rateHz },
        (_, at) => sound.readInt16LE(2 * (i * rateHz + at)) / 32_768,
      );
      return { label, input: logMelTensor({ rateHz, samples }, preprocessing) };
    }),
  };
}

export const install =
  "make it with models/training/keywords (models/training/README.md says how and with which Debian packages); " +
  "KEYWORDS_DATA names its folder";
