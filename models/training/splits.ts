/** What every `models/training/<application>/splits.ts` exports: the held-out data that its app.json reports on. */
import type { InputTensor } from "../../protocol/tensor.ts";

/** Validation chose temperatures, evidence and everything else; test is read only to report. */
export type Split = "validation" | "test";

export type Samples = { source: string; samples: { input: InputTensor; label: number }[] };

export type SplitsModule = {
  /** All samples of a split, in the order of its files. Rejects when the data is not on this machine. */
  readSplit(split: Split): Promise<Samples>;
  /** What to do then. */
  install: string;
};
