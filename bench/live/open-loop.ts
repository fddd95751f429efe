/**
 * Offers a trace to the running service: every request at its time, whatever became of those before. Latency counts from
 * the intended arrival, so that a generator or a service that falls behind hides nothing (no coordinated omission).
 */
import { Records } from "../simulator/records.ts";
import { quantile } from "../lib/statistics.ts";
import { Connections } from "./connections.ts";
import type { LivePolicy } from "./policies.ts";
import { NOTHING, statusOfProblem, type InferReply, type Service } from "./service.ts";
import { remainingMs, type Trace, type Way } from "./trace.ts";
import type { Offered } from "../simulator/workload.ts";

export type Offering = {
  records: Records;
  /** How much after its time a request was handed to the socket, 50th and 99th percentile: what the generator adds. */
  lagP50Ms: number;
  lagP99Ms: number;
  /** The first thing that went wrong beyond refusals, for the reader; null when nothing did. */
  firstError: string | null;
};

/** Until the first request, so that it is not late. */
const RUN_UP_MS = 20;

/** `seen` is told of every answer. Resolves when the last request is over. */
export async function offer(
  trace: Trace,
  policy: LivePolicy,
  service: Service,
  seen: (request: Offered, reply: InferReply) => void = () => undefined,
): Promise<Offering> {
  const { workload, ways } = trace;
  const records = new Records(workload);
  const connections = new Connections(service.url);
  const lagMs: number[] = [];
  let firstError: string | null = null;
  const order = workload.requests
    .map((request) => ({ request, way: ways[request.id] as Way, at: request.atMs + (ways[request.id] as Way).upMs }))
    .sort((a, b) => a.at - b.at);
  const startAt = performance.now() + RUN_UP_MS;

  const send = async (request: Offered, way: Way): Promise<void> => {
    const intendedAt = startAt + request.atMs;
    const since = (): number => performance.now() - intendedAt;
    const lag = since() - way.upMs;
    lagMs.push(lag);
    const leftMs = Math.min(remainingMs(request, way), Math.floor(request.user.deadlineMs - since() - way.reserveMs));
    const toldMs = Math.max(leftMs, policy.toldMs);
    if (toldMs < 1) {
      records.finish(request, { ...NOTHING, status: "dropped", totalMs: since() });
      return;
    }
    try {
      const { status, body } = await connections.request(service.encode(request, policy, toldMs));
      const totalMs = since() + way.downMs;
      if (status !== 200) {
        const failed = statusOfProblem(body);
        if (failed === "error") firstError ??= body.toString("utf8").slice(0, 300);
        records.finish(request, { ...NOTHING, status: failed, totalMs });
        return;
      }
      const reply = JSON.parse(body.toString("utf8")) as InferReply;
      seen(request, reply);
      const late = totalMs > request.user.deadlineMs;
      records.finish(request, { ...service.outcomeOf(request, reply), ...(late ? { status: "late" } : {}), totalMs });
    } catch (error) {
      firstError ??= error instanceof Error ? error.message : String(error);
      records.finish(request, { ...NOTHING, totalMs: since() });
    }
  };

  try {
    const sent: Promise<void>[] = [];
    for (const { request, way, at } of order) {
      const waitMs = startAt + at - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      sent.push(send(request, way));
    }
    await Promise.all(sent);
  } finally {
    connections.close();
  }
  return { records, lagP50Ms: quantile(lagMs, 0.5), lagP99Ms: quantile(lagMs, 0.99), firstError };
}
