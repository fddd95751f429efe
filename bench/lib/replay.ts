/**
 * What a committed ladder answered to its held-out data, so that a simulation of many requests can draw real inputs
 * without running a network. `bench/replay/<application>.json`:
 *
 *     { "format": "dystri-replay-1", "application": "clothing", "of": "<fingerprint of the ladder>",
 *       "rungs": ["e1", …], "splits": { "validation": { "count": 5000, "answers": "<base64>" }, "test": { … } } }
 *
 * `answers` has two bytes per rung and sample, sample after sample, rungs in ladder order: the calibrated confidence in
 * steps of 1/255; then 2 × the row of the rung's evidence table + 1 where the answer is right. Rows come from the
 * unrounded confidence. Samples are in the order of the split's files; one index means the same input at every rung.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";

export const FORMAT = "dystri-replay-1";
export const SPLITS = ["validation", "test"] as const;
export type SplitName = (typeof SPLITS)[number];

/** What to write of one rung: per sample its confidence (0–1), evidence row and 1 where right. */
export type RungColumns = { confidence: Float64Array; bin: Uint8Array; right: Uint8Array };

export type ReplayAnswer = { confidence: number; bin: number; right: boolean };

export class ReplaySplit {
  readonly count: number;
  readonly #rungs: number;
  readonly #bytes: Uint8Array;

  /** Throws TypeError when the bytes are not `count` × `rungs` answers. */
  constructor(count: number, rungs: number, bytes: Uint8Array) {
    if (bytes.length !== 2 * count * rungs) {
      throw new TypeError(`${bytes.length} bytes are not the answers of ${rungs} rungs to ${count} samples`);
    }
    this.count = count;
    this.#rungs = rungs;
    this.#bytes = bytes;
  }

  /** What `rung` answered to sample number `sample`. Throws RangeError where there is none. */
  answer(sample: number, rung: number): ReplayAnswer {
    const at = 2 * (sample * this.#rungs + rung);
    const code = this.#bytes[at + 1];
    if (rung < 0 || rung >= this.#rungs || code === undefined) {
      throw new RangeError(`no answer of rung ${rung} to sample ${sample}`);
    }
    return { confidence: (this.#bytes[at] as number) / 255, bin: code >> 1, right: (code & 1) === 1 };
  }
}

export type Replay = {
  application: string;
  /** Fingerprint of the ladder that answered. */
  of: string;
  rungs: string[];
  splits: Record<SplitName, ReplaySplit>;
};

/** The text of a replay file. */
export function encodeReplay(
  application: { name: string; rungs: readonly { name: string }[] },
  of: string,
  splits: Record<SplitName, readonly RungColumns[]>,
): string {
  const encoded = SPLITS.map((name) => {
    const rungs = splits[name];
    const count = rungs[0]?.right.length ?? 0;
    const bytes = new Uint8Array(2 * count * rungs.length);
    for (const [rung, { confidence, bin, right }] of rungs.entries()) {
      for (let sample = 0; sample < count; sample++) {
        const at = 2 * (sample * rungs.length + rung);
        bytes[at] = Math.round(255 * (confidence[sample] as number));
        bytes[at + 1] = 2 * (bin[sample] as number) + (right[sample] as number);
      }
    }
    return [name, { count, answers: Buffer.from(bytes).toString("base64") }];
  });
  const rungs = application.rungs.map(({ name }) => name);
  const replay = { format: FORMAT, application: application.name, of, rungs, splits: Object.fromEntries(encoded) };
  return `${JSON.stringify(replay, null, 1)}\n`;
}

/** Throws TypeError, saying what is wrong, when this is not the text of a replay file. */
export function parseReplay(text: string): Replay {
  const json = JSON.parse(text) as Partial<{
    format: string;
    application: string;
    of: string;
    rungs: string[];
    splits: Partial<Record<SplitName, { count: number; answers: string }>>;
  }>;
  const { format, application, of, rungs, splits } = json;
  if (format !== FORMAT) throw new TypeError(`the format is ${String(format)}, not ${FORMAT}`);
  if (!application || !of || !Array.isArray(rungs)) throw new TypeError("application, of and rungs must be there");
  const split = (name: SplitName): ReplaySplit => {
    const found = splits?.[name];
    if (!found) throw new TypeError(`the ${name} split is missing`);
    return new ReplaySplit(found.count, rungs.length, Buffer.from(found.answers, "base64"));
  };
  return { application, of, rungs, splits: { validation: split("validation"), test: split("test") } };
}

const FOLDER = path.join(import.meta.dirname, "..", "replay");

/** Returns the path of the file written. */
export async function writeReplay(application: string, text: string): Promise<string> {
  await mkdir(FOLDER, { recursive: true });
  await writeFile(path.join(FOLDER, `${application}.json`), text);
  return `bench/replay/${application}.json`;
}

/** Rejects with ENOENT where there is none, with TypeError where it cannot be read. */
export async function readReplay(application: string): Promise<Replay> {
  return parseReplay(await readFile(path.join(FOLDER, `${application}.json`), "utf8"));
}
