/** Fashion-MNIST, as the Debian package installs it: the official test images, and validation as data.py draws it. */
import { join } from "node:path";
import { readIdx } from "../idx.ts";
import { permutation } from "../permutation.ts";
import type { Samples, Split } from "../splits.ts";

const FOLDER = process.env["FASHION_MNIST"] ?? "/usr/share/datasets/fashion-mnist";
/** As in data.py. */
const VALIDATION = 5000;
const SPLIT_SEED = 2023;

/** 10,000 or 5,000 grey images of 28×28 and their labels. Rejects with ENOENT when the data is not installed. */
export async function readSplit(split: Split): Promise<Samples> {
  const part = split === "test" ? "t10k" : "train";
  const all = await readIdx(join(FOLDER, `${part}-images-idx3-ubyte.gz`), join(FOLDER, `${part}-labels-idx1-ubyte.gz`));
  const source = `Fashion-MNIST ${split} split in ${FOLDER}`;
  if (split === "test") return { source, samples: all };
  const drawn = permutation(SPLIT_SEED, all.length).subarray(0, VALIDATION);
  return { source, samples: Array.from(drawn, (row) => all[row] as Samples["samples"][number]) };
}

export const install =
  "install it with: apt-get install dataset-fashion-mnist; or set FASHION_MNIST to a folder that has it";
