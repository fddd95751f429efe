/** Glyphs of fonts no width was trained on, through the simulated camera, as glyphs.prepare writes them. */
import { join } from "node:path";
import { readIdx } from "../idx.ts";
import type { Samples, Split } from "../splits.ts";

const FOLDER = process.env["GLYPHS_DATA"] ?? join(import.meta.dirname, "../../../.dystri/data/glyphs");

/** Grey images of 28×28 and their labels. Rejects with ENOENT when they have not been rendered. */
export async function readSplit(split: Split): Promise<Samples> {
  return {
    source: `rendered ${split} fonts in ${FOLDER}`,
    samples: await readIdx(
      join(FOLDER, `${split}-images-idx3-ubyte.gz`),
      join(FOLDER, `${split}-labels-idx1-ubyte.gz`),
    ),
  };
}

export const install =
  "render it, in models/training: apt-get install --no-install-recommends $(cat glyphs/packages.txt); " +
  "python -m glyphs.prepare; or set GLYPHS_DATA to a folder that has it (other font or FreeType versions give other pixels: " +
  "manifest.json has the hashes)";
