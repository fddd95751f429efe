/** The official Fashion-MNIST test split, as the Debian package installs it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { TestSet } from "../test-set.ts";

const FOLDER = process.env["FASHION_MNIST"] ?? "/usr/share/datasets/fashion-mnist";

/** 10,000 greyscale images of 28×28 and their labels. Rejects with ENOENT when the data is not installed. */
export async function testSet(): Promise<TestSet> {
  const read = async (name: string) => gunzipSync(await readFile(join(FOLDER, name)));
  const [images, labels] = await Promise.all([read("t10k-images-idx3-ubyte.gz"), read("t10k-labels-idx1-ubyte.gz")]);
  const size = 28 * 28;
  return {
    source: `Fashion-MNIST test split in ${FOLDER}`,
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
  "install it with: apt-get install dataset-fashion-mnist; or set FASHION_MNIST to a folder that has it";
