/**
 * What the frames between a gateway and an agent say. A job's tensor is described in its header and lies in the
 * payload; no other kind has a payload. Every header is checked field by field before anybody acts on it.
 */
import type { Datatype } from "./application.ts";
import type { NodeApplication, NodeJob, NodeRegistration, RefusalCode, RungProfile } from "./fleet.ts";
import { REFUSALS } from "./fleet.ts";
import type { Check } from "./field-checks.ts";
import { boolean, checked, FieldError, integer, list, map, number, object, oneOf, text } from "./field-checks.ts";
import type { Decoded, FrameKind } from "./frames.ts";
import { decodeFrame, encodeFrame } from "./frames.ts";
import { MAX_DEADLINE_MS, MAX_TOP_K } from "./limits.ts";
import type { ExitResult } from "./plan.ts";
import type { PackedTensor, Start } from "./tensor.ts";

/** The agent's first frame. `busyMs`: predicted work left over from an earlier connection that cannot be taken back. */
export type HelloHeader = { registration: NodeRegistration; busyMs: number };

/** The gateway's reply: from here on the connection has this epoch and jobs may come. */
export type WelcomeHeader = { node: string; epoch: number; heartbeatMs: number };

export type InputMeta = { datatype: Datatype; shape: number[] };
export type CutMeta = Omit<PackedTensor, "bytes">;

export type JobHeader = {
  application: string;
  rung: number;
  minRung: number;
  /** Until the answer must leave the agent, counted from the frame's arrival there; the gateway has taken the link off. */
  remainingMs: number;
  topK: number;
} & ({ from: "input"; input: InputMeta } | { from: number; cut: CutMeta });

/**
 * `backlogMs`: predicted work the agent still holds after this answer. Load rides on answers. `computeMs`: wall time of
 * the runs the job was part of, which it shared with `batch` − 1 others.
 */
export type AnswerHeader = { exit: ExitResult; queueMs: number; computeMs: number; batch: number; backlogMs: number };
export type RefusalHeader = { code: RefusalCode; detail: string; backlogMs: number };
export type CancelHeader = Record<never, never>;
/**
 * From the agent: it takes no more jobs and leaves when it has answered those it holds. The gateway says it back:
 * whatever it sent before has arrived, nothing more comes.
 */
export type DrainHeader = { reason: string };
/** From the gateway to an agent whose heartbeats have stopped; the agent says `alive` at once, whatever it computes. */
export type ProbeHeader = Record<never, never>;
export type AliveHeader = Record<never, never>;

export type Headers = {
  hello: HelloHeader;
  welcome: WelcomeHeader;
  job: JobHeader;
  answer: AnswerHeader;
  refusal: RefusalHeader;
  cancel: CancelHeader;
  drain: DrainHeader;
  probe: ProbeHeader;
  alive: AliveHeader;
};

export type MessageOf<K extends FrameKind> = {
  [P in K]: { kind: P; sequence: number; header: Headers[P]; payload: Uint8Array<ArrayBuffer> };
}[K];
export type NodeMessage = MessageOf<FrameKind>;
export type ToGateway = MessageOf<"hello" | "answer" | "refusal" | "drain" | "alive">;
export type ToAgent = MessageOf<"welcome" | "job" | "cancel" | "drain" | "probe">;

/** Rungs of a ladder, applications of a node, dimensions of a tensor: far above any real one, far below harm. */
const MAX_RUNGS = 64;
const MAX_APPLICATIONS = 64;
export const MAX_DIMENSIONS = 8;
const DATATYPES = ["UINT8", "UINT16", "INT64", "FP32"] as const satisfies readonly Datatype[];
const NAME = /^[a-z0-9][a-z0-9_-]*$/;

const milliseconds = number(0, MAX_DEADLINE_MS);
const rung = integer(0, MAX_RUNGS - 1);
const probability = number(0, 1);
const shape = list(integer(1, 2 ** 24), MAX_DIMENSIONS);

const rungProfile = object<RungProfile>({
  medianMs: milliseconds,
  p95Ms: milliseconds,
  quality: probability,
  gain: probability,
  stageMs: list(
    object<RungProfile["stageMs"][number]>({ rung, medianMs: milliseconds, marginalMs: milliseconds }),
    MAX_RUNGS,
  ),
});

const nodeApplication = object<NodeApplication>({
  version: text(64),
  rungs: map(/^(0|[1-9][0-9]?)$/, rungProfile, MAX_RUNGS),
});

export const nodeRegistration = object<NodeRegistration>({
  agentVersion: text(32),
  bootId: text(64, /^[\w-]+$/),
  provider: text(32, NAME),
  device: text(128),
  concurrency: integer(1, 64),
  applications: map(/^[a-z0-9][a-z0-9_-]{0,63}$/, nodeApplication, MAX_APPLICATIONS),
});

const label: Check<[number, number]> = (value, field) => {
  if (!Array.isArray(value) || value.length !== 2) throw new FieldError(field, "not a pair of label and probability");
  return [integer(0, 2 ** 24)(value[0], `${field}[0]`), probability(value[1], `${field}[1]`)];
};

const exitResult = object<ExitResult>({
  exit: rung,
  bin: integer(0, 1023),
  confidence: probability,
  top: list(label, MAX_TOP_K),
});

const inputMeta = object<InputMeta>({ datatype: oneOf(...DATATYPES), shape });

const cutMeta = object<CutMeta>({
  shape,
  code: oneOf("f32", "u8", "u4"),
  scale: number(),
  zero: number(),
  deflated: boolean,
});

const jobFields = {
  application: text(64, NAME),
  rung,
  minRung: rung,
  remainingMs: milliseconds,
  topK: integer(1, MAX_TOP_K),
};
const inputJob = object<Extract<JobHeader, { from: "input" }>>({
  ...jobFields,
  from: oneOf("input"),
  input: inputMeta,
});
const cutJob = object<Extract<JobHeader, { from: number }>>({ ...jobFields, from: rung, cut: cutMeta });
const jobHeader: Check<JobHeader> = (value, field) => {
  if (typeof value === "object" && value !== null && !Object.hasOwn(value, "from"))
    throw new FieldError("from", "missing");
  const fromInput = typeof value === "object" && value !== null && "from" in value && value.from === "input";
  const job = fromInput ? inputJob(value, field) : cutJob(value, field);
  if (job.minRung > job.rung) throw new FieldError("minRung", `${job.minRung} is above rung ${job.rung}`);
  return job;
};

const HEADERS: { [K in FrameKind]: Check<Headers[K]> } = {
  hello: object<HelloHeader>({ registration: nodeRegistration, busyMs: milliseconds }),
  welcome: object<WelcomeHeader>({
    node: text(64, NAME),
    epoch: integer(1, Number.MAX_SAFE_INTEGER),
    heartbeatMs: number(1, 60_000),
  }),
  job: jobHeader,
  answer: object<AnswerHeader>({
    exit: exitResult,
    queueMs: milliseconds,
    computeMs: milliseconds,
    batch: integer(1, 1024),
    backlogMs: number(0, Number.MAX_SAFE_INTEGER),
  }),
  refusal: object<RefusalHeader>({
    code: oneOf(...(Object.keys(REFUSALS) as RefusalCode[])),
    detail: text(512),
    backlogMs: number(0, Number.MAX_SAFE_INTEGER),
  }),
  cancel: object<CancelHeader>({}),
  drain: object<DrainHeader>({ reason: text(128) }),
  probe: object<ProbeHeader>({}),
  alive: object<AliveHeader>({}),
};

const NO_PAYLOAD = new Uint8Array(0);

/** Bytes of one message. Throws RangeError when it is over a frame limit. */
export function encodeMessage<K extends FrameKind>(
  kind: K,
  sequence: number,
  header: Headers[K],
  payload: Uint8Array<ArrayBuffer> = NO_PAYLOAD,
): Uint8Array<ArrayBuffer> {
  return encodeFrame({ kind, sequence, header: header as Record<string, unknown>, payload });
}

/** Reads a message of one of the kinds the receiver accepts; never throws. */
export function decodeMessage<K extends FrameKind>(
  bytes: ArrayBuffer | Uint8Array,
  accepts: readonly K[],
): Decoded<MessageOf<K>> {
  const decoded = decodeFrame(bytes);
  if (!decoded.ok) return decoded;
  const { kind, sequence, header, payload } = decoded.value;
  if (!(accepts as readonly FrameKind[]).includes(kind)) {
    return {
      ok: false,
      error: { code: "bad_kind", closeCode: 1002, message: `${kind} does not travel in this direction` },
    };
  }
  if (payload.length > 0 && kind !== "job") {
    return { ok: false, error: { code: "bad_field", closeCode: 1007, message: `${kind} has no payload` } };
  }
  const result = checked<Headers[FrameKind]>(HEADERS[kind], header);
  if (!result.ok)
    return { ok: false, error: { code: "bad_field", closeCode: 1007, message: `${kind}.${result.message}` } };
  return { ok: true, value: { kind, sequence, header: result.value, payload } as MessageOf<K> };
}

/** The tensor a job starts from, as header fields and payload. */
export function startToWire(
  job: NodeJob,
  remainingMs: number,
): { header: JobHeader; payload: Uint8Array<ArrayBuffer> } {
  const { application, rung: wanted, minRung, topK, start } = job;
  const fields = { application, rung: wanted, minRung, remainingMs, topK };
  if (start.from === "input") {
    const { bytes, datatype, shape: dims } = start.input;
    return { header: { ...fields, from: "input", input: { datatype, shape: dims } }, payload: new Uint8Array(bytes) };
  }
  const { bytes, ...cut } = start.cut;
  return { header: { ...fields, from: start.from, cut }, payload: new Uint8Array(bytes) };
}

/** The reverse of `startToWire`. Whether the bytes fit the shape is for whoever knows the application. */
export function startFromWire(header: JobHeader, payload: Uint8Array<ArrayBuffer>): Start {
  const bytes = payload.buffer.slice(payload.byteOffset, payload.byteOffset + payload.byteLength);
  return header.from === "input"
    ? { from: "input", input: { ...header.input, bytes } }
    : { from: header.from, cut: { ...header.cut, bytes } };
}
