/** The test split of glyphs: fonts no width was trained on, through the simulated camera, as glyphs.prepare writes it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { TestSet } from "../test-set.ts";

const FOLDER = process.env["GLYPHS_DATA"] ?? join(import.meta.dirname, "../../../.dystri/data/glyphs");

/** Grey images of 28×28 and their labels. Rejects with ENOENT when they have not been rendered. */
export async function testSet(): Promise<TestSet> {
  const read = async (name: string) => gunzipSync(await readFile(join(FOLDER, name)));
  const [images, labels] = await Promise.all([read("test-images-idx3-ubyte.gz"), read("test-labels-idx1-ubyte.gz")]);
  const size = 28 * 28;
  return {
    source: `rendered test fonts in ${FOLDER}`,
    samples: Array.from(labels.subarray(8), (label, i) => ({
      label,
      input: {
        datatype: "UINT8",
        shape: [1, 28, 28],
        bytes: Uint8Array.from(images.subarray(16 + i * size, 16 + (i + 1) * size)).buffer,
      },
    })),
  };
}

export const install =
  "render it, in models/training: apt-get install --no-install-recommends $(cat glyphs/packages.txt); " +
  "python -m glyphs.prepare; or set GLYPHS_DATA to a folder that has it (other font or FreeType versions give other pixels: " +
  "manifest.json has the hashes)";
