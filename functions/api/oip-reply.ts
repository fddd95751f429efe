/** Inference replies of the Open Inference Protocol v2: JSON, followed by raw tensors where they were asked for. */
import type { Application } from "../../protocol/application.ts";
import type { Wishes } from "../../protocol/plan.ts";
import { namedAnswer } from "./answer.ts";
import { shownMs } from "./context.ts";
import { shownCandidates } from "./explain.ts";
import type { RequestedOutput } from "./oip-request.ts";
import { fp32Bytes, textBytes } from "./oip-tensors.ts";
import type { Served } from "./served.ts";

type Output = {
  name: string;
  datatype: "FP32" | "BYTES";
  shape: number[];
  data?: (number | string)[];
  parameters?: { binary_data_size: number };
};

/** Body and headers of a reply. `served.answer.top` must hold every label of the application. */
export function oipReply(
  application: Application,
  request: { id?: string; outputs: readonly RequestedOutput[] },
  served: Served,
  policy: Wishes["deadlinePolicy"],
): { body: string | Uint8Array; headers: Record<string, string> } {
  const outputs: Output[] = [];
  const tensors: Uint8Array[] = [];
  for (const wanted of request.outputs) {
    const { datatype, shape, data } = outputData(application, wanted, served);
    const output: Output = { name: wanted.name, datatype, shape };
    if (wanted.binary) {
      const bytes = datatype === "FP32" ? fp32Bytes(data as number[]) : textBytes(data as string[]);
      output.parameters = { binary_data_size: bytes.length };
      tensors.push(bytes);
    } else {
      output.data = data;
    }
    outputs.push(output);
  }
  const json = JSON.stringify({
    model_name: application.name,
    model_version: application.version,
    ...(request.id === undefined ? {} : { id: request.id }),
    parameters: replyParameters(application, served, policy),
    outputs,
  });
  if (tensors.length === 0) return { body: json, headers: { "Content-Type": "application/json" } };
  const head = new TextEncoder().encode(json);
  const body = new Uint8Array(head.length + tensors.reduce((sum, tensor) => sum + tensor.length, 0));
  body.set(head);
  let at = head.length;
  for (const tensor of tensors) {
    body.set(tensor, at);
    at += tensor.length;
  }
  return {
    body,
    headers: { "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": String(head.length) },
  };
}

function outputData(
  application: Application,
  wanted: RequestedOutput,
  { answer }: Served,
): { datatype: "FP32" | "BYTES"; shape: number[]; data: (number | string)[] } {
  const labelOf = (index: number): string => application.labels[index] ?? String(index);
  if (wanted.name === "label") {
    return { datatype: "BYTES", shape: [1], data: [labelOf(answer.top[0]?.[0] ?? 0)] };
  }
  if (wanted.classification !== undefined) {
    const data = answer.top.slice(0, wanted.classification).map(([index, p]) => `${p}:${index}:${labelOf(index)}`);
    return { datatype: "BYTES", shape: [1, data.length], data };
  }
  const probabilities = new Array<number>(application.labels.length).fill(0);
  for (const [index, p] of answer.top) probabilities[index] = p;
  return { datatype: "FP32", shape: [1, probabilities.length], data: probabilities };
}

/** Scalars only, as the protocol demands: what is absent is left out, never null. */
function replyParameters(
  application: Application,
  served: Served,
  policy: string,
): Record<string, string | number | boolean> {
  const { exit, exits_total, rung, tier, node } = namedAnswer(application, served);
  return {
    exit,
    exits_total,
    rung,
    tier,
    ...(node === null ? {} : { node }),
    confidence: served.answer.confidence,
    deadline_ms: served.deadlineMs,
    deadline_met: served.deadlineMet,
    degraded: served.degraded,
    reason: served.reason,
    predicted_ms: shownMs(served.predictedMs),
    ...(served.queueMs === undefined ? {} : { queue_ms: shownMs(served.queueMs) }),
    ...(served.computeMs === undefined ? {} : { compute_ms: shownMs(served.computeMs) }),
    total_ms: shownMs(served.totalMs),
    policy,
    ...(served.explanation ? { explain: JSON.stringify(shownCandidates(application, served.explanation)) } : {}),
    triton_final_response: true,
  };
}
