/**
 * Reads app.json. Nothing about an application is believed before it has passed here: every field is checked against
 * the contract of protocol/application.ts, then the fields against each other.
 */
import type {
  Application,
  BytesPreprocessing,
  CutSpec,
  EvidenceRow,
  ImagePreprocessing,
  InputSpec,
  LogMelPreprocessing,
  Preprocessing,
  Rung,
  TablePreprocessing,
  TokensPreprocessing,
} from "../protocol/application.ts";
import { quote } from "../protocol/errors.ts";
import { MAX_AUDIO_SECONDS, MAX_DEADLINE_MS, MAX_FRAME_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { Tier } from "../protocol/plan.ts";

/** What is wrong with an app.json: `path` is the field as one would write it in JavaScript, e.g. `rungs[1].evidence[0].to`. */
export class ApplicationError extends Error {
  override readonly name = "ApplicationError";
  readonly path: string;

  constructor(path: string, value: unknown, wanted: string) {
    const found = value === undefined ? "missing" : `${quote(value)}`;
    super(`${path === "" ? "the application" : path} is ${found}; expected ${wanted}`);
    this.path = path;
  }
}

/** Checks one value and returns it typed, or throws an ApplicationError that names `path`. */
type Reader<T> = (value: unknown, path: string) => T;

function check<T>(holds: (value: unknown) => value is T, wanted: string): Reader<T> {
  return (value, path) => {
    if (!holds(value)) throw new ApplicationError(path, value, wanted);
    return value;
  };
}

const matching = (pattern: RegExp, wanted: string): Reader<string> =>
  check((value): value is string => typeof value === "string" && pattern.test(value), wanted);

const numberIn = (min: number, max: number, wanted: string): Reader<number> =>
  check((value): value is number => typeof value === "number" && value >= min && value <= max, wanted);

const integerFrom = (min: number, wanted: string): Reader<number> =>
  check((value): value is number => Number.isSafeInteger(value) && (value as number) >= min, wanted);

function oneOf<const T extends string | number>(...choices: readonly T[]): Reader<T> {
  const wanted = `one of ${choices.map((choice) => JSON.stringify(choice)).join(", ")}`;
  return check((value): value is T => choices.some((choice) => choice === value), wanted);
}

function listOf<T>(item: Reader<T>, atLeast = 1): Reader<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new ApplicationError(path, value, "an array");
    if (value.length < atLeast) throw new ApplicationError(path, value, `an array of at least ${atLeast} entries`);
    return value.map((entry: unknown, i) => item(entry, `${path}[${i}]`));
  };
}

function distinct<T>(list: Reader<T[]>): Reader<T[]> {
  return (value, path) => {
    const entries = list(value, path);
    const second = entries.findIndex((entry, i) => entries.indexOf(entry) < i);
    if (second >= 0) throw new ApplicationError(`${path}[${second}]`, entries[second], "no entry twice");
    return entries;
  };
}

/** One reader per field; a reader of an optional field accepts undefined. Fields the contract does not know are mistakes. */
type Fields<T> = {
  [K in keyof T]-?: Reader<Record<never, never> extends Pick<T, K> ? T[K] | undefined : T[K]>;
};

function record<T extends object>(fields: Fields<T>): Reader<T> {
  const names = Object.keys(fields) as (keyof T & string)[];
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new ApplicationError(path, value, "an object");
    }
    const at = (name: string) => (path === "" ? name : `${path}.${name}`);
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(fields, name)) {
        throw new ApplicationError(at(name), (value as Record<string, unknown>)[name], `only ${names.join(", ")}`);
      }
    }
    const result: Partial<T> = {};
    for (const name of names) {
      const read = fields[name]((value as Record<string, unknown>)[name], at(name));
      if (read !== undefined) result[name] = read as T[typeof name];
    }
    return result as T;
  };
}

const optional =
  <T>(reader: Reader<T>): Reader<T | undefined> =>
  (value, path) =>
    value === undefined ? undefined : reader(value, path);

const name = matching(/^[a-z][a-z0-9-]{0,39}$/, "lower-case letters, digits and hyphens, a letter first, at most 40");
const text = matching(/\S/, "a text that is not empty");
const positive = numberIn(Number.MIN_VALUE, Number.MAX_VALUE, "a number above 0");
const share = numberIn(0, 1, "a number from 0 to 1");
const count = integerFrom(0, "a whole number, 0 or more");
const size = integerFrom(1, "a whole number, 1 or more");
const tier = oneOf<Tier>("device", "edge", "node");
const resumesFrom: Reader<"input" | number> = (value, path) =>
  value === "input" ? value : integerFrom(0, `"input" or the index of an earlier rung`)(value, path);

const image = record<ImagePreprocessing>({
  kind: oneOf("image"),
  width: size,
  height: size,
  channels: oneOf(1, 3),
  mean: listOf(share),
  std: listOf(positive),
});

const table = record<TablePreprocessing>({
  kind: oneOf("table"),
  features: distinct(listOf(text)),
  mean: listOf(numberIn(0, 255, "a number from 0 to 255")),
  std: listOf(positive),
});

const number = numberIn(-Number.MAX_VALUE, Number.MAX_VALUE, "a number");

const logMel = record<LogMelPreprocessing>({
  kind: oneOf("log-mel"),
  sampleRateHz: check(
    (value): value is number => Number.isInteger(value) && (value as number) >= 4000 && (value as number) <= 48_000,
    "a whole number from 4000 to 48000",
  ),
  windowSamples: check(
    (value): value is number => typeof value === "number" && value >= 4 && value <= 4096 && Math.log2(value) % 1 === 0,
    "a power of two from 4 to 4096",
  ),
  hopSamples: size,
  frames: size,
  mels: size,
  lowHz: numberIn(0, 48_000, "a frequency in Hz"),
  highHz: positive,
  floor: positive,
  scale: positive,
  offset: number,
  mean: number,
  std: positive,
});

const byteText = record<BytesPreprocessing>({ kind: oneOf("bytes"), length: size });

const tokens = record<TokensPreprocessing>({
  kind: oneOf("tokens"),
  segments: listOf(record<TokensPreprocessing["segments"][number]>({ name, length: size })),
  buckets: check(
    (value): value is number => Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 0xffff,
    "a whole number from 1 to 65535",
  ),
  bigramBuckets: optional(size),
});

const KINDS = { image, table, "log-mel": logMel, bytes: byteText, tokens } satisfies {
  [K in Preprocessing["kind"]]: Reader<Preprocessing>;
};

/** The kind decides which other fields there must be. */
const preprocessing: Reader<Preprocessing> = (value, path) => {
  const kind = (value as { kind?: unknown } | null | undefined)?.kind;
  const known = oneOf(...(Object.keys(KINDS) as Preprocessing["kind"][]))(kind, `${path}.kind`);
  return KINDS[known](value, path);
};

const input = record<InputSpec>({
  name: text,
  datatype: oneOf("UINT8", "UINT16", "INT64", "FP32"),
  shape: listOf(size),
  bytes: size,
  accepts: distinct(listOf(matching(/^[\w.+-]+\/[\w.+-]+$/, "a media type such as image/png"))),
  preprocessing,
});

const evidenceRow = record<EvidenceRow>({ from: share, to: share, count, right: listOf(share) });

const cut = record<CutSpec>({
  shape: listOf(size),
  bytes: record<CutSpec["bytes"]>({ f32: positive, u8: positive, u4: positive }),
});

const rung = record<Rung>({
  name,
  stage: matching(/^[\w][\w.-]*\.onnx$/, "the name of an .onnx file in the application's folder"),
  resumesFrom,
  take: optional(size),
  tiers: distinct(listOf(tier)),
  mflops: record<Rung["mflops"]>({ own: positive, cumulative: positive }),
  referenceMs: record<Rung["referenceMs"]>({ edge: positive, node: positive }),
  cut: optional(cut),
  temperature: positive,
  quality: record<Rung["quality"]>({ validation: share, test: share }),
  evidence: listOf(evidenceRow),
});

const application = record<Application>({
  name,
  platform: name,
  version: text,
  title: text,
  task: oneOf("image-classification", "tabular-classification", "text-classification", "audio-classification"),
  labels: distinct(listOf(text, 2)),
  input,
  quality: record<Application["quality"]>({
    metric: text,
    samples: record<Application["quality"]["samples"]>({ validation: size, test: size }),
  }),
  deadline: record<Application["deadline"]>({
    defaultMs: numberIn(1, MAX_DEADLINE_MS, `a number from 1 to ${MAX_DEADLINE_MS}`),
    maxMs: numberIn(1, MAX_DEADLINE_MS, `a number from 1 to ${MAX_DEADLINE_MS}`),
  }),
  rungs: listOf(rung),
});

const BYTES_OF = { UINT8: 1, UINT16: 2, INT64: 8, FP32: 4 } as const;

/** Elements of a tensor of that shape. */
export const elements = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

function checkInputSpec({ datatype, shape, bytes, preprocessing }: InputSpec): void {
  const wanted = elements(shape) * BYTES_OF[datatype];
  if (bytes !== wanted) {
    throw new ApplicationError("input.bytes", bytes, `${wanted}: ${datatype} of shape [${shape.join(", ")}]`);
  }
  const wantedType = preprocessing.kind === "tokens" ? "UINT16" : "UINT8";
  if (datatype !== wantedType) {
    throw new ApplicationError("input.datatype", datatype, `"${wantedType}", as input.preprocessing says`);
  }
  const wantedShape = shapeOf(preprocessing);
  if (shape.length !== wantedShape.length || shape.some((length, axis) => length !== wantedShape[axis])) {
    throw new ApplicationError("input.shape", shape, `[${wantedShape.join(", ")}], as input.preprocessing says`);
  }
  if (preprocessing.kind === "bytes") return;
  if (preprocessing.kind === "log-mel") return checkLogMel(preprocessing);
  if (preprocessing.kind === "tokens") {
    preprocessing.segments.forEach(({ name }, i) => {
      if (preprocessing.segments.findIndex((other) => other.name === name) === i) return;
      throw new ApplicationError(`input.preprocessing.segments[${i}].name`, name, "a name no earlier segment has");
    });
    return;
  }
  const [per, many] =
    preprocessing.kind === "image" ? ["channel", preprocessing.channels] : ["feature", preprocessing.features.length];
  for (const field of ["mean", "std"] as const) {
    if (preprocessing[field].length === many) continue;
    throw new ApplicationError(`input.preprocessing.${field}`, preprocessing[field], `one entry per ${per}: ${many}`);
  }
}

function checkLogMel({ sampleRateHz, windowSamples, hopSamples, frames, lowHz, highHz }: LogMelPreprocessing): void {
  const path = "input.preprocessing";
  const half = sampleRateHz / 2;
  if (highHz > half) throw new ApplicationError(`${path}.highHz`, highHz, `at most ${half}, half of sampleRateHz`);
  if (lowHz >= highHz) throw new ApplicationError(`${path}.lowHz`, lowHz, `less than highHz, ${highHz}`);
  const most = Math.floor((MAX_AUDIO_SECONDS * sampleRateHz - windowSamples) / hopSamples) + 1;
  if (frames > most) throw new ApplicationError(`${path}.frames`, frames, `at most ${most}: ${MAX_AUDIO_SECONDS} s`);
}

/** The shape of the tensor that preprocessing makes. */
function shapeOf(preprocessing: Preprocessing): number[] {
  switch (preprocessing.kind) {
    case "image":
      return [preprocessing.channels, preprocessing.height, preprocessing.width];
    case "table":
      return [preprocessing.features.length];
    case "log-mel":
      return [1, preprocessing.frames, preprocessing.mels];
    case "bytes":
      return [preprocessing.length];
    case "tokens":
      return [preprocessing.segments.reduce((sum, { length }) => sum + length, 0)];
  }
}

/** A stage may read a part of the input only where parts make sense: from the front of a row. */
function checkTake({ input, rungs }: Application, index: number): void {
  const { take, resumesFrom } = rungs[index] as Rung;
  if (take === undefined) return;
  const path = `rungs[${index}].take`;
  if (resumesFrom !== "input") throw new ApplicationError(path, take, "nothing: this rung does not read the input");
  if (input.preprocessing.kind === "image" || input.preprocessing.kind === "log-mel") {
    throw new ApplicationError(path, take, "nothing: pictures are read whole");
  }
  const all = elements(input.shape);
  if (take > all) throw new ApplicationError(path, take, `at most ${all}, the elements of the input`);
}

function checkEvidence(rows: readonly EvidenceRow[], rungs: number, path: string): void {
  rows.forEach((row, i) => {
    const below = i === 0 ? 0 : (rows[i - 1] as EvidenceRow).to;
    if (row.from !== below) {
      throw new ApplicationError(`${path}[${i}].from`, row.from, `${below}: rows cover 0 to 1 without gaps`);
    }
    if (row.to <= row.from) throw new ApplicationError(`${path}[${i}].to`, row.to, `more than from, ${row.from}`);
    if (row.right.length !== rungs) {
      throw new ApplicationError(`${path}[${i}].right`, row.right, `one entry per rung: ${rungs}`);
    }
  });
  const last = rows.length - 1;
  const end = rows[last]?.to;
  if (end !== 1) throw new ApplicationError(`${path}[${last}].to`, end, "1: rows cover 0 to 1");
}

/** A rung must be able to run wherever it says: the rung it resumes from is earlier, leaves a cut and runs there too. */
function checkChain(rungs: readonly Rung[], index: number): void {
  const { resumesFrom, tiers, mflops } = rungs[index] as Rung;
  const path = `rungs[${index}]`;
  let before = 0;
  if (resumesFrom !== "input") {
    const earlier = resumesFrom < index ? rungs[resumesFrom] : undefined;
    if (!earlier) {
      throw new ApplicationError(
        `${path}.resumesFrom`,
        resumesFrom,
        `"input" or the index of an earlier rung, below ${index}`,
      );
    }
    if (!earlier.cut) {
      throw new ApplicationError(`rungs[${resumesFrom}].cut`, undefined, `a cut: rung ${index} resumes from it`);
    }
    tiers.forEach((tier, i) => {
      if (!earlier.tiers.includes(tier)) {
        const wanted = `a tier of rung ${resumesFrom} (${earlier.tiers.join(", ")}), which it resumes from`;
        throw new ApplicationError(`${path}.tiers[${i}]`, tier, wanted);
      }
    });
    before = earlier.mflops.cumulative;
  }
  const cumulative = before + mflops.own;
  if (Math.abs(mflops.cumulative - cumulative) > 0.01 * cumulative) {
    throw new ApplicationError(
      `${path}.mflops.cumulative`,
      mflops.cumulative,
      `${cumulative} (within 1 %): own and all it resumes from`,
    );
  }
}

function checkCut(rungs: readonly Rung[], index: number): void {
  const { cut } = rungs[index] as Rung;
  if (!cut) return;
  const path = `rungs[${index}].cut`;
  if (!rungs.some((other) => other.resumesFrom === index)) {
    throw new ApplicationError(path, cut, "no cut: no rung resumes from this one");
  }
  if (4 * elements(cut.shape) > MAX_FRAME_PAYLOAD_BYTES) {
    throw new ApplicationError(`${path}.shape`, cut.shape, `at most ${MAX_FRAME_PAYLOAD_BYTES} bytes of float32`);
  }
}

/** Reads a parsed app.json. Throws ApplicationError naming the first wrong field, its value and what was expected. */
export function parseApplication(json: unknown): Application {
  const parsed = application(json, "");
  checkInputSpec(parsed.input);
  if (parsed.deadline.defaultMs > parsed.deadline.maxMs) {
    throw new ApplicationError(
      "deadline.defaultMs",
      parsed.deadline.defaultMs,
      `at most deadline.maxMs, ${parsed.deadline.maxMs}`,
    );
  }
  for (const field of ["name", "stage"] as const) distinctIn(parsed.rungs, field);
  for (const index of parsed.rungs.keys()) checkChain(parsed.rungs, index);
  parsed.rungs.forEach((rung, index) => {
    checkTake(parsed, index);
    checkCut(parsed.rungs, index);
    checkEvidence(rung.evidence, parsed.rungs.length, `rungs[${index}].evidence`);
  });
  return parsed;
}

function distinctIn(rungs: readonly Rung[], field: "name" | "stage"): void {
  rungs.forEach((rung, index) => {
    if (rungs.findIndex((other) => other[field] === rung[field]) < index) {
      throw new ApplicationError(`rungs[${index}].${field}`, rung[field], `a ${field} no earlier rung has`);
    }
  });
}
