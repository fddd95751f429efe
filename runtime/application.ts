/**
 * What the fields of an app.json must say of each other, which its schema (models/app.schema.json) cannot: chains that
 * hold, evidence without gaps, sizes that agree. Platform-free; reading a file is nodes/parse-application.ts.
 */
import type {
  Application,
  EvidenceRow,
  InputSpec,
  LogMelPreprocessing,
  Preprocessing,
  Rung,
} from "../protocol/application.ts";
import { MAX_AUDIO_SECONDS, MAX_FRAME_PAYLOAD_BYTES } from "../protocol/limits.ts";

/** One wrong field: `path` as one would write it in JavaScript, e.g. `rungs[1].evidence[0].to`; "" is the whole. */
export type Fault = { path: string; value: unknown; expected: string };

const BYTES_OF = { UINT8: 1, UINT16: 2, INT64: 8, FP32: 4 } as const;

/** Cumulative MFLOPs may differ by this share from the sum along the chain: both are rounded. */
const ROUNDING = 0.01;

/** Elements of a tensor of that shape. */
export const elements = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** Everything wrong with an application that holds to the schema, in the order of its fields; empty if it is sound. */
export function faultsOf(application: Application): Fault[] {
  const { input, deadline, rungs } = application;
  const faults = [...inputFaults(input)];
  if (deadline.defaultMs > deadline.maxMs) {
    const expected = `at most deadline.maxMs, ${deadline.maxMs}`;
    faults.push({ path: "deadline.defaultMs", value: deadline.defaultMs, expected });
  }
  for (const [index, rung] of rungs.entries()) {
    faults.push(
      ...nameFaults(rungs, index),
      ...chainFaults(rungs, index),
      ...takeFaults(application, index),
      ...cutFaults(rungs, index),
      ...evidenceFaults(rung.evidence, rungs.length, `rungs[${index}].evidence`),
    );
  }
  return faults;
}

function* inputFaults({ datatype, shape, bytes, preprocessing }: InputSpec): Generator<Fault> {
  const wantedShape = shapeOf(preprocessing);
  if (shape.length !== wantedShape.length || shape.some((length, axis) => length !== wantedShape[axis])) {
    const expected = `[${wantedShape.join(", ")}], as input.preprocessing says`;
    yield { path: "input.shape", value: shape, expected };
  }
  const wantedType = preprocessing.kind === "tokens" ? "UINT16" : "UINT8";
  if (datatype !== wantedType) {
    yield { path: "input.datatype", value: datatype, expected: `"${wantedType}", as input.preprocessing says` };
  }
  const wantedBytes = elements(shape) * BYTES_OF[datatype];
  if (bytes !== wantedBytes) {
    const expected = `${wantedBytes}: ${datatype} of shape [${shape.join(", ")}]`;
    yield { path: "input.bytes", value: bytes, expected };
  }
  yield* preprocessingFaults(preprocessing);
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

function* preprocessingFaults(preprocessing: Preprocessing): Generator<Fault> {
  switch (preprocessing.kind) {
    case "image":
      yield* normalisationFaults(preprocessing, "channel", preprocessing.channels);
      return;
    case "table":
      yield* normalisationFaults(preprocessing, "feature", preprocessing.features.length);
      return;
    case "log-mel":
      yield* logMelFaults(preprocessing);
      return;
    case "bytes":
      return;
    case "tokens": {
      const names = preprocessing.segments.map(({ name }) => name);
      for (const [i, name] of names.entries()) {
        const path = `input.preprocessing.segments[${i}].name`;
        if (names.indexOf(name) < i) yield { path, value: name, expected: "a name no earlier segment has" };
      }
    }
  }
}

function* normalisationFaults(
  preprocessing: { mean: number[]; std: number[] },
  per: string,
  count: number,
): Generator<Fault> {
  for (const field of ["mean", "std"] as const) {
    const value = preprocessing[field];
    if (value.length === count) continue;
    yield { path: `input.preprocessing.${field}`, value, expected: `one entry per ${per}: ${count}` };
  }
}

function* logMelFaults(preprocessing: LogMelPreprocessing): Generator<Fault> {
  const { sampleRateHz, windowSamples, hopSamples, frames, lowHz, highHz } = preprocessing;
  const path = "input.preprocessing";
  const half = sampleRateHz / 2;
  const most = Math.floor((MAX_AUDIO_SECONDS * sampleRateHz - windowSamples) / hopSamples) + 1;
  if (Math.log2(windowSamples) % 1 !== 0) {
    yield { path: `${path}.windowSamples`, value: windowSamples, expected: "a power of two" };
  }
  if (frames > most) {
    yield { path: `${path}.frames`, value: frames, expected: `at most ${most}: ${MAX_AUDIO_SECONDS} s of sound` };
  }
  if (lowHz >= highHz) {
    yield { path: `${path}.lowHz`, value: lowHz, expected: `less than highHz, ${highHz}` };
  }
  if (highHz > half) {
    yield { path: `${path}.highHz`, value: highHz, expected: `at most ${half}, half of sampleRateHz` };
  }
}

function* nameFaults(rungs: readonly Rung[], index: number): Generator<Fault> {
  for (const field of ["name", "stage"] as const) {
    const value = (rungs[index] as Rung)[field];
    if (rungs.findIndex((other) => other[field] === value) === index) continue;
    yield { path: `rungs[${index}].${field}`, value, expected: `a ${field} no earlier rung has` };
  }
}

/** A rung must be able to run wherever it says: the rung it resumes from is earlier, leaves a cut and runs there too. */
function* chainFaults(rungs: readonly Rung[], index: number): Generator<Fault> {
  const { resumesFrom, tiers, mflops } = rungs[index] as Rung;
  const path = `rungs[${index}]`;
  let before = 0;
  if (resumesFrom !== "input") {
    const earlier = resumesFrom < index ? rungs[resumesFrom] : undefined;
    if (!earlier) {
      const expected = `"input" or the index of an earlier rung, below ${index}`;
      yield { path: `${path}.resumesFrom`, value: resumesFrom, expected };
      return;
    }
    if (!earlier.cut) {
      const expected = `a cut: rung ${index} resumes from it`;
      yield { path: `rungs[${resumesFrom}].cut`, value: undefined, expected };
    }
    for (const [i, tier] of tiers.entries()) {
      if (earlier.tiers.includes(tier)) continue;
      const expected = `a tier of rung ${resumesFrom} (${earlier.tiers.join(", ")}), which it resumes from`;
      yield { path: `${path}.tiers[${i}]`, value: tier, expected };
    }
    before = earlier.mflops.cumulative;
  }
  const cumulative = before + mflops.own;
  if (Math.abs(mflops.cumulative - cumulative) > ROUNDING * cumulative) {
    const expected = `${cumulative} (within 1 %): own and all it resumes from`;
    yield { path: `${path}.mflops.cumulative`, value: mflops.cumulative, expected };
  }
}

/** A stage may read a part of the input only where parts make sense: from the front of a row. */
function* takeFaults({ input, rungs }: Application, index: number): Generator<Fault> {
  const { take, resumesFrom } = rungs[index] as Rung;
  if (take === undefined) return;
  const all = elements(input.shape);
  const { kind } = input.preprocessing;
  const expected =
    resumesFrom !== "input"
      ? "nothing: this rung does not read the input"
      : kind === "image" || kind === "log-mel"
        ? "nothing: pictures are read whole"
        : take > all
          ? `at most ${all}, the elements of the input`
          : null;
  if (expected !== null) yield { path: `rungs[${index}].take`, value: take, expected };
}

function* cutFaults(rungs: readonly Rung[], index: number): Generator<Fault> {
  const { cut } = rungs[index] as Rung;
  if (!cut) return;
  const path = `rungs[${index}].cut`;
  if (!rungs.some((other) => other.resumesFrom === index)) {
    yield { path, value: cut, expected: "no cut: no rung resumes from this one" };
  }
  const floatBytes = 4 * elements(cut.shape);
  if (floatBytes > MAX_FRAME_PAYLOAD_BYTES) {
    const expected = `at most ${MAX_FRAME_PAYLOAD_BYTES} bytes of float32`;
    yield { path: `${path}.shape`, value: cut.shape, expected };
  }
}

function* evidenceFaults(rows: readonly EvidenceRow[], rungs: number, path: string): Generator<Fault> {
  let below = 0;
  for (const [i, row] of rows.entries()) {
    if (row.from !== below) {
      yield { path: `${path}[${i}].from`, value: row.from, expected: `${below}: rows cover 0 to 1 without gaps` };
    }
    if (row.to <= row.from) {
      yield { path: `${path}[${i}].to`, value: row.to, expected: `more than from, ${row.from}` };
    }
    if (row.right.length !== rungs) {
      yield { path: `${path}[${i}].right`, value: row.right, expected: `one entry per rung: ${rungs}` };
    }
    below = row.to;
  }
  if (below !== 1) yield { path: `${path}[${rows.length - 1}].to`, value: below, expected: "1: rows cover 0 to 1" };
}
