/**
 * The contract of one application: what `models/<application>/app.json` holds.
 *
 * A ladder is an ordered list of rungs. A rung either resumes from the tensor an earlier rung leaves behind, or
 * restarts from the input (a variant). Early exits, widths, resolutions, token pruning and cascades differ only there.
 */
import type { Tier } from "./plan.ts";

/** Element types that travel; names as in the Open Inference Protocol v2. */
export type Datatype = "UINT8" | "INT64" | "FP32";

/** How a posted image becomes the input tensor: decode, greyscale if one channel, resize; then (x/255 − mean) / std at the model. */
export type ImagePreprocessing = {
  kind: "image";
  width: number;
  height: number;
  channels: 1 | 3;
  /** Per channel, on the 0–1 scale. */
  mean: number[];
  std: number[];
};

/** A row of numbers, one per feature, 0–255 each; (x − mean) / std per feature at the model. Posted as a JSON array. */
export type TablePreprocessing = { kind: "table"; features: string[]; mean: number[]; std: number[] };

/**
 * Text as its UTF-8 bytes, cut at `length` and padded with 0; a NUL in the text counts as a space. The model reads the
 * byte values as int64, 0 being padding.
 */
export type BytesPreprocessing = { kind: "bytes"; length: number };

export type Preprocessing = ImagePreprocessing | TablePreprocessing | BytesPreprocessing;

export type InputSpec = {
  name: string;
  datatype: Datatype;
  /** Without the batch dimension. This is the tensor clients may post and machines send each other, before normalisation. */
  shape: number[];
  /** Bytes of that tensor. */
  bytes: number;
  /** Media types accepted as raw bodies. */
  accepts: string[];
  preprocessing: Preprocessing;
};

/** One row of an evidence table: what the calibration split says about inputs whose confidence at this exit fell in (from, to]. */
export type EvidenceRow = {
  from: number;
  to: number;
  /** Calibration samples in this bin. */
  count: number;
  /** P(right at rung m | this bin), one entry per rung of the ladder, in ladder order. */
  right: number[];
};

/** Bytes of a packed cut tensor after deflate, averaged over calibration samples, and the accuracy lost downstream in points. */
export type CutSpec = {
  /** Without the batch dimension. */
  shape: number[];
  bytes: { f32: number; u8: number; u4: number };
};

export type Rung = {
  name: string;
  /** ONNX file in the application's folder; outputs `logits` and, unless it is the last of its chain, `feat`. */
  stage: string;
  /** `"input"`, or the index of the rung whose cut tensor this stage reads. */
  resumesFrom: "input" | number;
  /** How many leading elements of the input this stage reads, where it reads the input and not all of it. */
  take?: number;
  tiers: Tier[];
  mflops: {
    /** This stage with its head. */
    own: number;
    /** Everything run to get this rung's answer, earlier heads of the chain included. */
    cumulative: number;
  };
  /** Median milliseconds of this stage alone, batch 1, one thread, on the reference machine; WASM at the edge, native on a node. */
  referenceMs: { edge: number; node: number };
  /** Absent where nothing resumes from this rung. */
  cut?: CutSpec;
  /** Softmax temperature fitted on the calibration split. */
  temperature: number;
  /** Share of right answers when every input stops here. */
  quality: { validation: number; test: number };
  evidence: EvidenceRow[];
};

export type Task = "image-classification" | "tabular-classification" | "text-classification";

export type Application = {
  name: string;
  platform: string;
  version: string;
  title: string;
  task: Task;
  labels: string[];
  input: InputSpec;
  quality: { metric: string; samples: { validation: number; test: number } };
  deadline: { defaultMs: number; maxMs: number };
  rungs: Rung[];
};
