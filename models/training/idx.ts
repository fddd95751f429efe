/** Grey images and labels in the IDX files of the MNIST family. */
import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import type { Samples } from "./splits.ts";

const SIDE = 28;
const IMAGES_HEADER_BYTES = 16;
const LABELS_HEADER_BYTES = 8;

/** All images of 28×28 and their labels, in the order of the files (both gzipped). Rejects with ENOENT without them. */
export async function readIdx(imagesPath: string, labelsPath: string): Promise<Samples["samples"]> {
  const [images, labels] = await Promise.all(
    [imagesPath, labelsPath].map(async (path) => gunzipSync(await readFile(path))),
  );
  const size = SIDE * SIDE;
  const count = (labels?.length ?? 0) - LABELS_HEADER_BYTES;
  if (!images || !labels || images.length !== IMAGES_HEADER_BYTES + count * size) {
    throw new Error(`${imagesPath} and ${labelsPath} do not belong together`);
  }
  return Array.from(labels.subarray(LABELS_HEADER_BYTES), (label, i) => {
    const from = IMAGES_HEADER_BYTES + i * size;
    const bytes = Uint8Array.from(images.subarray(from, from + size)).buffer;
    return { label, input: { datatype: "UINT8", shape: [1, SIDE, SIDE], bytes } };
  });
}
