/**
 * Inference requests of the Open Inference Protocol v2, with Triton's binary tensor extension. The envelope is checked
 * by hand, the tensor by shape, datatype and length; nothing walks tensor data but the conversion itself.
 */
import type { Application, Datatype } from "../../protocol/application.ts";
import { DystriError, quote } from "../../protocol/errors.ts";
import { MAX_JSON_BYTES } from "../../protocol/limits.ts";
import type { InputTensor } from "../../protocol/tensor.ts";
import { checkInput } from "../../runtime/normalise.ts";
import { isObject, parseJsonObject } from "./body.ts";
import { bytesOfJson } from "./oip-tensors.ts";

export type RequestedOutput = {
  name: "probabilities" | "label";
  binary: boolean;
  /** The classification extension: so many "value:index:label" texts instead of the numbers. */
  classification?: number;
};

export type OipRequest = {
  id?: string;
  parameters: Record<string, unknown>;
  input: InputTensor;
  outputs: RequestedOutput[];
};

const OUTPUT_NAMES = ["probabilities", "label"] as const;

/**
 * Reads a request body. `headerLength` is the value of Inference-Header-Content-Length: null when the whole body is
 * JSON, "0" when the whole body is the one input tensor. Throws DystriError naming the member that is wrong.
 */
export function readOipRequest(application: Application, body: Uint8Array, headerLength: string | null): OipRequest {
  if (headerLength === "0") {
    const { datatype, shape } = application.input;
    const input = checked(application, { datatype, shape: [...shape], bytes: ownBuffer(body) }, "body");
    return { parameters: {}, input, outputs: OUTPUT_NAMES.map((name) => ({ name, binary: true })) };
  }
  const jsonBytes = headerLength === null ? body.length : jsonLength(headerLength, body.length);
  if (jsonBytes > MAX_JSON_BYTES) {
    throw new DystriError("too_large", `the JSON part is larger than the limit of ${MAX_JSON_BYTES} bytes`, {
      field: headerLength === null ? "body" : "header Inference-Header-Content-Length",
      value: `${jsonBytes} bytes`,
      hint: `send at most ${MAX_JSON_BYTES} bytes of JSON; large tensors go in binary, after it`,
    });
  }
  const request = parseJsonObject(body.subarray(0, jsonBytes));
  const { id } = request;
  if (id !== undefined && typeof id !== "string") throw malformed("id", id, "send a text");
  const parameters = parametersOf(request, "");
  const sequence = Object.keys(parameters).find((name) => name.startsWith("sequence_"));
  if (sequence !== undefined) {
    throw new DystriError("not_implemented", "sequences are not served", {
      field: `parameters.${quote(sequence)}`,
      value: quote(parameters[sequence]),
      hint: "send single requests",
    });
  }
  return {
    ...(id === undefined ? {} : { id }),
    parameters,
    input: inputOf(application, request, body.subarray(jsonBytes)),
    outputs: outputsOf(application, request, parameters),
  };
}

function inputOf(application: Application, request: Record<string, unknown>, binary: Uint8Array): InputTensor {
  const spec = application.input;
  const { inputs } = request;
  if (!Array.isArray(inputs) || inputs.length !== 1 || !isObject(inputs[0])) {
    const value = Array.isArray(inputs) ? `${inputs.length} inputs` : inputs;
    throw malformed("inputs", value, `send one input, ${spec.name}, of ${spec.datatype} [1, ${spec.shape.join(", ")}]`);
  }
  const [given] = inputs as [Record<string, unknown>];
  if (given["name"] !== spec.name)
    throw malformed("inputs[0].name", given["name"], `call it ${spec.name}`, "bad_tensor");
  const shape = withoutBatch(given["shape"], spec.shape.length);
  const wanted = { datatype: given["datatype"] as Datatype, shape, bytes: new ArrayBuffer(spec.bytes) };
  const { datatype } = checked(application, wanted, "inputs[0]");
  const size = parametersOf(given, "inputs[0].")["binary_data_size"];
  if (size === undefined) {
    if (binary.length > 0) throw leftOver(binary.length);
    return { datatype, shape, bytes: bytesOfJson(datatype, shape, given["data"], "inputs[0].data") };
  }
  const field = "inputs[0].parameters.binary_data_size";
  if (typeof size !== "number" || !Number.isInteger(size) || size < 0)
    throw malformed(field, size, "send a count of bytes");
  if (size > binary.length) {
    throw malformed(
      field,
      size,
      `unexpected size for input ${spec.name}, expecting ${size - binary.length} additional bytes`,
      "bad_tensor",
    );
  }
  if (size < binary.length) throw leftOver(binary.length - size);
  return checked(application, { datatype, shape, bytes: ownBuffer(binary) }, "inputs[0]");
}

/** The shape without a leading batch dimension of 1, which may be there or not. */
function withoutBatch(shape: unknown, rank: number): number[] {
  if (!Array.isArray(shape) || !shape.every((size) => typeof size === "number")) {
    throw malformed("inputs[0].shape", shape, "send an array of whole numbers", "bad_tensor");
  }
  if (shape.length !== rank + 1) return shape;
  if (shape[0] === 1) return shape.slice(1);
  throw malformed("inputs[0].shape", shape, "send one sample a request: a batch dimension of 1, or none", "bad_tensor");
}

/** `checkInput`, with the field named by its place in the request. */
function checked(application: Application, input: InputTensor, place: string): InputTensor {
  try {
    checkInput(application, input);
    return input;
  } catch (thrown) {
    if (!(thrown instanceof DystriError)) throw thrown;
    const field = `${place}.${thrown.details.field ?? "data"}`;
    throw new DystriError(thrown.code, thrown.message, { ...thrown.details, field });
  }
}

function outputsOf(
  application: Application,
  request: Record<string, unknown>,
  parameters: Record<string, unknown>,
): RequestedOutput[] {
  const allBinary = flag(parameters["binary_data_output"], "parameters.binary_data_output") ?? false;
  const { outputs } = request;
  if (outputs === undefined || (Array.isArray(outputs) && outputs.length === 0)) {
    return OUTPUT_NAMES.map((name) => ({ name, binary: allBinary }));
  }
  if (!Array.isArray(outputs)) throw malformed("outputs", outputs, "send an array, or leave it out");
  if (outputs.length > OUTPUT_NAMES.length) {
    throw malformed("outputs", `${outputs.length} outputs`, `ask for ${OUTPUT_NAMES.join(" and ")}, each once`);
  }
  return outputs.map((output: unknown, i) => {
    const place = `outputs[${i}]`;
    const name = isObject(output) ? OUTPUT_NAMES.find((known) => known === output["name"]) : undefined;
    if (!isObject(output) || name === undefined) {
      const value = isObject(output) ? output["name"] : output;
      throw malformed(`${place}.name`, value, `ask for ${OUTPUT_NAMES.join(" or ")}`, "bad_parameter");
    }
    const own = parametersOf(output, `${place}.`);
    const requested: RequestedOutput = {
      name,
      binary: flag(own["binary_data"], `${place}.parameters.binary_data`) ?? allBinary,
    };
    const k = own["classification"];
    if (k !== undefined) {
      const most = application.labels.length;
      if (typeof k !== "number" || !Number.isInteger(k) || k < 1 || name !== "probabilities") {
        throw malformed(
          `${place}.parameters.classification`,
          k,
          `ask for 1 to ${most} classes of probabilities`,
          "bad_parameter",
        );
      }
      requested.classification = Math.min(k, most);
    }
    return requested;
  });
}

function flag(value: unknown, field: string): boolean | undefined {
  if (value === undefined || typeof value === "boolean") return value;
  throw malformed(field, value, "send true or false", "bad_parameter");
}

/** `parameters` of an object of the request: scalars only. */
function parametersOf(from: Record<string, unknown>, place: string): Record<string, unknown> {
  const { parameters } = from;
  if (parameters === undefined) return {};
  if (!isObject(parameters)) throw malformed(`${place}parameters`, parameters, "send an object of scalars");
  for (const [name, value] of Object.entries(parameters)) {
    if (typeof value === "object") {
      throw malformed(
        `${place}parameters.${quote(name)}`,
        value,
        "send a text, a number, true or false",
        "bad_parameter",
      );
    }
  }
  return parameters;
}

function jsonLength(header: string, bodyLength: number): number {
  const length = /^\d+$/.test(header) ? Number(header) : Number.NaN;
  if (length <= bodyLength) return length;
  throw malformed(
    "header Inference-Header-Content-Length",
    header,
    `send the length of the JSON part in bytes, at most ${bodyLength}, the length of this body`,
  );
}

function leftOver(bytes: number): DystriError {
  return malformed("body", `${bytes} bytes after the last tensor`, "unexpected additional input data", "bad_tensor");
}

function malformed(
  field: string,
  value: unknown,
  hint: string,
  code: "bad_request" | "bad_parameter" | "bad_tensor" = "bad_request",
): DystriError {
  return new DystriError(code, `${field} is not usable: ${hint}`, { field, value: quote(value ?? null), hint });
}

/** A buffer of exactly these bytes. */
function ownBuffer(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer;
}
