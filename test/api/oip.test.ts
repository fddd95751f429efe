import { describe, expect, it } from "vitest";
import { oipReply } from "../../functions/api/oip-reply.ts";
import { bytesOfJson } from "../../functions/api/oip-tensors.ts";
import { readOipRequest } from "../../functions/api/oip-request.ts";
import type { Served } from "../../functions/api/served.ts";
import type { Application } from "../../protocol/application.ts";
import { DystriError } from "../../protocol/errors.ts";
import { joined } from "../support/images.ts";
import { applications } from "./catalogue.ts";

const [tiny] = applications as [Application];
const VALUES = Array.from({ length: 64 }, (_, i) => i * 4);
const ROWS = Array.from({ length: 8 }, (_, y) => VALUES.slice(y * 8, y * 8 + 8));

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

function read(request: unknown, tail: Uint8Array = new Uint8Array(), headerLength?: string) {
  const head = encode(request);
  const header = headerLength ?? (tail.length > 0 ? String(head.length) : null);
  return readOipRequest(tiny, joined([head, tail]), header);
}

const input = (over: Record<string, unknown> = {}) => ({
  name: "image",
  datatype: "UINT8",
  shape: [1, 1, 8, 8],
  ...over,
});
const binaryInput = (size: number) => input({ parameters: { binary_data_size: size } });
const valuesOf = (request: { input: { bytes: ArrayBuffer } }): number[] => [...new Uint8Array(request.input.bytes)];

function problemOf(work: () => unknown): DystriError {
  try {
    work();
  } catch (error) {
    if (error instanceof DystriError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("tensor data", () => {
  it("of 16 bits is little-endian, and holds nothing that needs more", () => {
    const values = (data: unknown) => bytesOfJson("UINT16", [3], data, "data");
    expect([...new Uint8Array(values([1, [256, 65535]]))]).toEqual([1, 0, 0, 1, 255, 255]);
    for (const value of [65536, -1, 0.5, "1"]) {
      expect(problemOf(() => values([0, 0, value])).message).toContain("does not fit UINT16");
    }
  });
});

describe("inference requests", () => {
  it("carry the tensor flat or nested, with a batch dimension or without", () => {
    for (const data of [VALUES, ROWS, [ROWS], [[ROWS]]]) {
      for (const shape of [
        [1, 1, 8, 8],
        [1, 8, 8],
      ]) {
        const request = read({ inputs: [input({ shape, data })] });
        expect(valuesOf(request)).toEqual(VALUES);
        expect(request.input.shape).toEqual([1, 8, 8]);
      }
    }
  });

  it("carry it in binary after the JSON, to the byte", () => {
    const request = {
      id: "r1",
      inputs: [binaryInput(64)],
      parameters: { priority: 1, timeout: 80_000, binary_data_output: true },
    };
    const tail = new Uint8Array(VALUES);
    const read64 = read(request, tail);
    expect(valuesOf(read64)).toEqual(VALUES);
    expect(read64).toMatchObject({ id: "r1", parameters: { timeout: 80_000 } });
    expect(read64.outputs).toEqual([
      { name: "probabilities", binary: true },
      { name: "label", binary: true },
    ]);
    expect(problemOf(() => read(request, tail.subarray(1))).message).toContain("expecting 1 additional bytes");
    expect(problemOf(() => read(request, joined([tail, new Uint8Array(1)]))).message).toContain(
      "unexpected additional input data",
    );
    expect(problemOf(() => read({ inputs: [input({ data: VALUES })] }, tail)).message).toContain(
      "unexpected additional input data",
    );
    for (const size of [-1, 1.5, "64"]) {
      expect(problemOf(() => read({ inputs: [binaryInput(size as number)] }, tail)).code).toBe("bad_request");
    }
    expect(problemOf(() => read({ inputs: [binaryInput(63)] }, tail.subarray(1)))).toMatchObject({
      code: "bad_tensor",
      details: { field: "inputs[0].bytes" },
    });
  });

  it("are the bare tensor when the JSON has no bytes", () => {
    const raw = readOipRequest(tiny, new Uint8Array(VALUES), "0");
    expect(valuesOf(raw)).toEqual(VALUES);
    expect(raw.outputs.every((output) => output.binary)).toBe(true);
  });

  it("ask for outputs one by one; what one says overrides what is said for all", () => {
    const outputs = [
      { name: "label" },
      { name: "probabilities", parameters: { binary_data: false, classification: 99 } },
    ];
    const request = read({ inputs: [input({ data: VALUES })], outputs, parameters: { binary_data_output: true } });
    expect(request.outputs).toEqual([
      { name: "label", binary: true },
      { name: "probabilities", binary: false, classification: 3 },
    ]);
  });
});

const SERVED: Served = {
  answer: {
    exit: 1,
    bin: 2,
    confidence: 0.75,
    top: [
      [2, 0.75],
      [0, 0.125],
      [1, 0.125],
    ],
  },
  tier: "node",
  node: "gpu-1",
  deadlineMs: 80,
  deadlineMet: true,
  degraded: false,
  reason: "gpu-1 answered with the planned rung",
  predictedMs: 20.00049,
  totalMs: 18,
  queueMs: 1,
  computeMs: 9,
  timing: [],
};

describe("inference replies", () => {
  it("hold every probability in the order of the labels, and scalars only as parameters", () => {
    const { body, headers } = oipReply(
      tiny,
      {
        id: "r1",
        outputs: [
          { name: "probabilities", binary: false },
          { name: "label", binary: false },
        ],
      },
      SERVED,
      "best_effort",
    );
    expect(headers["Content-Type"]).toBe("application/json");
    const reply = JSON.parse(body as string) as { parameters: Record<string, unknown> };
    expect(reply).toMatchObject({
      model_name: "tiny",
      model_version: "1.0.0",
      id: "r1",
      outputs: [
        { name: "probabilities", datatype: "FP32", shape: [1, 3], data: [0.125, 0.125, 0.75] },
        { name: "label", datatype: "BYTES", shape: [1], data: ["cross"] },
      ],
      parameters: {
        exit: 2,
        exits_total: 3,
        tier: "node",
        node: "gpu-1",
        deadline_ms: 80,
        deadline_met: true,
        predicted_ms: 20,
        queue_ms: 1,
        compute_ms: 9,
        total_ms: 18,
        policy: "best_effort",
        triton_final_response: true,
      },
    });
    for (const value of Object.values(reply.parameters))
      expect(["string", "number", "boolean"]).toContain(typeof value);
  });

  it("leave out the node when none answered", () => {
    const { body } = oipReply(tiny, { outputs: [] }, { ...SERVED, tier: "edge", node: null }, "strict");
    const { parameters, ...rest } = JSON.parse(body as string) as Record<string, object>;
    expect(parameters).not.toHaveProperty("node");
    expect(rest).not.toHaveProperty("id");
  });

  it("name the likeliest classes", () => {
    const { body } = oipReply(
      tiny,
      { outputs: [{ name: "probabilities", binary: false, classification: 2 }] },
      SERVED,
      "strict",
    );
    expect(JSON.parse(body as string)).toMatchObject({
      outputs: [
        { name: "probabilities", datatype: "BYTES", shape: [1, 2], data: ["0.75:2:cross", "0.125:0:horizontal"] },
      ],
    });
  });

  it("can be split at the announced byte", () => {
    const { body, headers } = oipReply(
      tiny,
      {
        outputs: [
          { name: "probabilities", binary: true },
          { name: "label", binary: true },
        ],
      },
      SERVED,
      "strict",
    );
    const at = Number(headers["Inference-Header-Content-Length"]);
    const bytes = body as Uint8Array;
    const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, at))) as { outputs: Record<string, unknown>[] };
    expect(headers["Content-Type"]).toBe("application/octet-stream");
    expect(head.outputs).toEqual([
      { name: "probabilities", datatype: "FP32", shape: [1, 3], parameters: { binary_data_size: 12 } },
      { name: "label", datatype: "BYTES", shape: [1], parameters: { binary_data_size: 9 } },
    ]);
    // 0.125, 0.125, 0.75 in single precision, little-endian; then the length of "cross" and the text.
    expect([...bytes.subarray(at)]).toEqual([
      0,
      0,
      0,
      0x3e,
      0,
      0,
      0,
      0x3e,
      0,
      0,
      0x40,
      0x3f,
      5,
      0,
      0,
      0,
      ...new TextEncoder().encode("cross"),
    ]);
  });
});
