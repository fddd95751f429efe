/** What every `models/training/<application>/test-set.ts` exports: the held-out data its app.json reports on. */
import type { InputTensor } from "../../protocol/tensor.ts";

export type TestSet = { source: string; samples: { input: InputTensor; label: number }[] };

export type TestSetModule = {
  /** Rejects when the data is not on this machine. */
  testSet(): Promise<TestSet>;
  /** What to do then. */
  install: string;
};
