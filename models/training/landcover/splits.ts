/** Held-out rows of Statlog (Landsat Satellite), from the R data file that the Debian package r-cran-mlbench installs. */
import { execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { permutation } from "../permutation.ts";
import type { Samples, Split } from "../splits.ts";

const FOLDER = process.env["MLBENCH_DATA"] ?? "/usr/lib/R/site-library/mlbench/data";
const FILE = "Satellite.rda";
const FEATURES = 36;
const TRAINING = 4435;
const TEST = 2000;
/** Drawn from the training rows, as in data.py. */
const VALIDATION = 600;
const SPLIT_SEED = 2023;

/** R's serialisation format, big-endian: a list starts with its flags and length, a vector of numbers likewise. */
const LIST = 19;
const INTEGER = 13;
const REAL = 14;

/**
 * The columns of the file's only object, a data frame: 36 of numbers and one of class codes from 1. Everything after
 * them (names, labels) is left unread; `rdata.py` reads it and checks it against what this expects.
 */
function readColumns(bytes: Buffer): number[][] {
  const start = bytes.indexOf("Satellite") + "Satellite".length;
  let at = start;
  const integer = (): number => bytes.readInt32BE((at += 4) - 4);
  const kind = (): number => integer() & 0xff;
  if (!bytes.subarray(0, 7).equals(Buffer.from("RDX2\nX\n")) || kind() !== LIST || integer() !== FEATURES + 1) {
    throw new Error(`${FILE} is not the data set this was written for`);
  }
  return Array.from({ length: FEATURES + 1 }, () => {
    const type = kind();
    const count = integer();
    if ((type !== REAL && type !== INTEGER) || count !== TRAINING + TEST) {
      throw new Error(`${FILE}: a column of type ${type} with ${count} values was not expected`);
    }
    return Array.from({ length: count }, () => (type === REAL ? bytes.readDoubleBE((at += 8) - 8) : integer()));
  });
}

/** Patches and their classes: the file's last 2,000, or 600 drawn from those before. Rejects with ENOENT when the data, or xz, is not installed. */
export async function readSplit(split: Split): Promise<Samples> {
  const path = join(FOLDER, FILE);
  await access(path);
  const options = { encoding: "buffer", maxBuffer: 1 << 24 } as const;
  const { stdout } = await promisify(execFile)("xz", ["--decompress", "--stdout", path], options);
  const columns = readColumns(stdout);
  const classes = columns.pop() as number[];
  const rows =
    split === "test"
      ? Array.from({ length: TEST }, (_, i) => TRAINING + i)
      : Array.from(permutation(SPLIT_SEED, TRAINING).subarray(0, VALIDATION));
  return {
    source: `Statlog (Landsat Satellite), ${split} rows of ${path}`,
    samples: rows.map((row) => ({
      label: (classes[row] as number) - 1,
      input: {
        datatype: "UINT8",
        shape: [FEATURES],
        bytes: Uint8Array.from(columns, (column) => column[row] as number).buffer,
      },
    })),
  };
}

export const install =
  "install it with: apt-get install r-cran-mlbench xz-utils; or, without R, unpack the package (apt-get download, dpkg -x) " +
  "and set MLBENCH_DATA to its folder usr/lib/R/site-library/mlbench/data";
