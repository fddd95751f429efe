import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NodeJob, NodeRegistration } from "../../protocol/fleet.ts";
import { encodeFrame, FRAME_KINDS, type FrameKind } from "../../protocol/frames.ts";
import { MAX_FRAME_HEADER_BYTES, MAX_TOP_K } from "../../protocol/limits.ts";
import {
  decodeMessage,
  encodeMessage,
  startFromWire,
  startToWire,
  type Headers,
  type JobHeader,
} from "../../protocol/node-messages.ts";

const registration: NodeRegistration = {
  agentVersion: "1",
  bootId: "b",
  provider: "cpu",
  device: "d",
  concurrency: 1,
  applications: {
    tiny: {
      version: "1",
      rungs: {
        "0": { medianMs: 1, p95Ms: 2, quality: 0.5, gain: 0.5, stageMs: [{ rung: 0, medianMs: 1, marginalMs: 1 }] },
      },
    },
  },
};
const exit = { exit: 1, bin: 2, confidence: 0.5, top: [[3, 0.5]] as [number, number][] };
const inputJob: JobHeader = {
  application: "tiny",
  rung: 2,
  minRung: 1,
  remainingMs: 10.5,
  topK: 3,
  from: "input",
  input: { datatype: "UINT8", shape: [1, 8, 8] },
};
const { input: _, from: __, ...jobFields } = inputJob;
const cutJob: JobHeader = {
  ...jobFields,
  from: 0,
  cut: { shape: [4, 4, 4], code: "u8", scale: 0.1, zero: -3, deflated: true },
};

const SAMPLES: { [K in FrameKind]: Headers[K] } = {
  hello: { registration, busyMs: 0 },
  welcome: { node: "n1", epoch: 3, heartbeatMs: 1000 },
  job: inputJob,
  answer: { exit, queueMs: 0.5, computeMs: 3, batch: 2, backlogMs: 0 },
  refusal: { code: "too_late", detail: "why", backlogMs: 1 },
  cancel: {},
  drain: { reason: "SIGTERM" },
  probe: {},
  alive: {},
};

/** What the decoder says of this header; "" when it is taken. */
function complaint(kind: FrameKind, header: object, payload = new Uint8Array(0)): string {
  const bytes = encodeFrame({ kind, sequence: 1, header: header as Record<string, unknown>, payload });
  const decoded = decodeMessage(bytes, FRAME_KINDS);
  return decoded.ok ? "" : decoded.error.message;
}

/** Every path to a field of plain data. */
function paths(value: unknown, at: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const path = [...at, Array.isArray(value) ? Number(key) : key];
    return [path, ...paths(inner, path)];
  });
}

type Container = Record<string | number, unknown>;

function changed(
  value: object,
  path: (string | number)[],
  change: (parent: Container, key: string | number) => void,
): object {
  const copy = structuredClone(value);
  let parent = copy as Container;
  for (const key of path.slice(0, -1)) parent = parent[key] as Container;
  change(parent, path.at(-1) as string | number);
  return copy;
}

/** Maps, whose entries may come and go. */
const isMapEntry = (path: (string | number)[]) => ["applications", "rungs"].includes(String(path.at(-2)));

describe.each(FRAME_KINDS)("%s", (kind) => {
  const header = SAMPLES[kind];

  test("passes as it is", () => {
    expect(decodeMessage(encodeMessage(kind, 9, header), FRAME_KINDS)).toMatchObject({
      ok: true,
      value: { kind, sequence: 9, header },
    });
  });

  test("an unknown field is named", () => {
    expect(complaint(kind, { ...header, surprise: 1 })).toMatch(/surprise: unknown field/);
  });

  test("every missing field is named", () => {
    for (const path of paths(header).filter((p) => typeof p.at(-1) === "string" && !isMapEntry(p))) {
      const without = changed(header, path, (parent, key) => delete parent[key]);
      expect(complaint(kind, without), path.join(".")).toContain(String(path.at(-1)));
    }
  });

  test("every ill-typed field is refused", () => {
    for (const path of paths(header)) {
      for (const wrong of [null, { a: 1 }, [[]], Number.NaN, "\u0000"]) {
        const broken = changed(header, path, (parent, key) => (parent[key] = wrong));
        // Free text may hold anything; NaN is null in JSON.
        if (
          typeof wrong === "string" &&
          ["detail", "reason", "version", "device", "agentVersion"].includes(String(path.at(-1)))
        )
          continue;
        expect(complaint(kind, broken), `${path.join(".")} = ${JSON.stringify(wrong)}`).not.toBe("");
      }
    }
  });

  test("only jobs have payloads", () => {
    const said = complaint(kind, header, new Uint8Array(1));
    if (kind === "job") expect(said).toBe("");
    else expect(said).toMatch(/no payload/);
  });
});

describe("particular fields", () => {
  test.each<[FrameKind, object, RegExp]>([
    ["job", { ...inputJob, minRung: 3 }, /minRung.*above rung 2/],
    ["job", { ...inputJob, from: 0 }, /input: unknown field/],
    ["job", { ...cutJob, from: "input" }, /cut: unknown field/],
    ["job", { ...inputJob, topK: MAX_TOP_K + 1 }, /topK/],
    ["job", { ...inputJob, remainingMs: -1 }, /remainingMs/],
    ["job", { ...inputJob, rung: 1.5, minRung: 1 }, /rung.*whole number/],
    ["answer", { ...SAMPLES.answer, exit: { ...exit, confidence: 1.1 } }, /exit\.confidence/],
    ["answer", { ...SAMPLES.answer, exit: { ...exit, top: [[1]] } }, /exit\.top\[0\]/],
    ["refusal", { ...SAMPLES.refusal, code: "because" }, /code.*not one of/],
    ["hello", { busyMs: 0, registration: { ...registration, concurrency: 0 } }, /registration\.concurrency/],
    ["hello", { busyMs: 0, registration: { ...registration, applications: { "../x": {} } } }, /the key/],
  ])("%s %#", (kind, header, message) => {
    expect(complaint(kind, header)).toMatch(message);
  });

  test("a prototype named in JSON is an unknown key, not a prototype", () => {
    const header = JSON.parse(
      `{"busyMs":0,"registration":${JSON.stringify(registration)},"__proto__":{"x":1}}`,
    ) as object;
    expect(complaint("hello", header)).toMatch(/__proto__: unknown field/);
  });

  test("a kind that does not travel this way is refused", () => {
    const decoded = decodeMessage(encodeMessage("welcome", 0, SAMPLES.welcome), ["hello", "answer"]);
    expect(decoded).toMatchObject({ ok: false, error: { code: "bad_kind", closeCode: 1002 } });
  });

  test("any JSON object for any kind is either taken or named, never thrown", () => {
    fc.assert(
      fc.property(fc.constantFrom(...FRAME_KINDS), fc.dictionary(fc.string(), fc.jsonValue()), (kind, header) => {
        fc.pre(JSON.stringify(header).length < MAX_FRAME_HEADER_BYTES / 4);
        expect(typeof complaint(kind, header)).toBe("string");
      }),
    );
  });

  test("the longest answer fits a header", () => {
    const top = Array.from({ length: MAX_TOP_K }, (_unused, i): [number, number] => [900 + i, 1 / (i + 3)]);
    expect(() => encodeMessage("answer", 1, { ...SAMPLES.answer, exit: { ...exit, top } })).not.toThrow();
  });
});

test("a job's tensor survives the journey, from the input and from a cut", () => {
  const bytes = new Uint8Array([5, 6, 7]).buffer;
  const job: Omit<NodeJob, "start"> = {
    ticket: "t",
    application: "tiny",
    rung: 2,
    minRung: 1,
    remainingMs: 99,
    topK: 3,
    claim: { user: "u", weight: 1, priority: "normal" },
  };
  const starts: NodeJob["start"][] = [
    { from: "input", input: { datatype: "UINT8", shape: [3], bytes } },
    { from: 1, cut: { shape: [3], code: "u8", scale: 2, zero: 1, deflated: false, bytes } },
  ];
  for (const start of starts) {
    const { header, payload } = startToWire({ ...job, start }, 42);
    const decoded = decodeMessage(encodeMessage("job", 1, header, payload), ["job"]);
    if (!decoded.ok) throw new Error(decoded.error.message);
    expect(decoded.value.header.remainingMs).toBe(42);
    expect(startFromWire(decoded.value.header, decoded.value.payload)).toEqual(start);
  }
});
