/**
 * The contract of one application: what `models/<application>/app.json` holds. `models/app.schema.json` is the same for
 * validators and editors; a test holds the two together.
 *
 * A ladder is an ordered list of rungs. A rung either resumes from the tensor an earlier rung leaves behind, or
 * restarts from the input (a variant). Early exits, widths, resolutions, token pruning and cascades differ only there.
 */
import type { Tier } from "./plan.ts";

/** Element types that travel; names as in the Open Inference Protocol v2. */
export type Datatype = "UINT8" | "UINT16" | "INT64" | "FP32";

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

/**
 * Text as hashed words, posted as text/plain; there is no vocabulary.
 *
 * **Words.** Of the UTF-8 text, without a byte order mark and with A–Z made lower case (and nothing else, so that no
 * tier's Unicode version matters), the matches of `[a-z]+|[0-9]+|[^\sa-z0-9]`, code point by code point, `\s` as
 * ECMAScript has it. A word's id is 1 + FNV-1a (32 bits, of its UTF-8 bytes) mod `buckets`; 0 is padding.
 *
 * **Segments.** Each has room for its first `length` words and is padded; the tensor is the segments side by side,
 * UINT16, little-endian. With one segment that is the whole text. With several, all but the last are taken from a head
 * such as a mail's, by name in any case: the leading lines `Name: value` (printable ASCII without spaces before the
 * colon) with their continuations, which begin with a space or a tab. An empty line ends the head and is dropped;
 * any other line ends it and is kept. Of lines of one name the first counts; lines of other names are dropped. The last
 * segment is what follows the head. A text whose head has no line of a segment's name is all last segment. Lines end
 * with LF or CRLF.
 *
 * **At the model.** Without `bigramBuckets` the stage reads the ids as int64 [n, tokens]. With it, int64
 * [n, tokens, 2]: beside each id that of the pair it ends, 1 + FNV-1a (of the two ids before and at it, two
 * little-endian bytes each) mod `bigramBuckets`, or 0 where either is padding and at the start of a segment. Pairs
 * never travel: the machine that runs the stage computes them.
 */
export type TokensPreprocessing = {
  kind: "tokens";
  segments: { name: string; length: number }[];
  /** At most 65,535, so that an id fits 16 bits. */
  buckets: number;
  bigramBuckets?: number;
};

/**
 * Sound as a log-mel picture, posted as a WAV file. One channel at `sampleRateHz`; `frames` Hann windows of
 * `windowSamples`, one every `hopSamples` (a shorter sound gets silence on both sides, of a longer one the stretch with
 * the most energy is taken); power; triangles of `mels` bands from `lowHz` to `highHz` on the mel scale; natural
 * logarithm of band power + `floor`. Travels as bytes [1, frames, mels], logarithm = byte × `scale` + `offset`; the
 * model reads (logarithm − `mean`) / `std`.
 */
export type LogMelPreprocessing = {
  kind: "log-mel";
  sampleRateHz: number;
  /** A power of two. */
  windowSamples: number;
  hopSamples: number;
  frames: number;
  mels: number;
  lowHz: number;
  highHz: number;
  floor: number;
  scale: number;
  offset: number;
  mean: number;
  std: number;
};

export type Preprocessing =
  ImagePreprocessing | TablePreprocessing | LogMelPreprocessing | BytesPreprocessing | TokensPreprocessing;

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

/** The tensor that later rungs resume from, and what sending it costs. */
export type CutSpec = {
  /** Without the batch dimension. */
  shape: number[];
  /** Mean bytes of a calibration sample on its way: as float32, and as codes, deflated where that is smaller. */
  bytes: { f32: number; u8: number; u4: number };
  /**
   * Percentage points of accuracy lost by sending codes instead of float32, on the validation split: the most that any
   * rung loses that resumes from it, directly or not; 0 where none does.
   */
  lostPoints: { u8: number; u4: number };
};

export type Rung = {
  name: string;
  /** ONNX file in the application's folder; outputs `logits` and, unless it is the last of its chain, `feat`. */
  stage: string;
  /** `"input"`, or the index of the rung whose cut tensor this stage reads. */
  resumesFrom: "input" | number;
  /**
   * How many leading elements of the input this stage reads, where it reads the input and not all of it. Of tokens a
   * pair counts as one element with the word that ends it.
   */
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

export type Task = "image-classification" | "tabular-classification" | "text-classification" | "audio-classification";

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
