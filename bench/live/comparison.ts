/** One run's figures, live or simulated, and how far the simulator was off. */
import type { Records, Status, Summary } from "../simulator/records.ts";
import { ON_DEVICE } from "../simulator/records.ts";
import type { Trace } from "./trace.ts";

export type RunFigures = {
  offered: number;
  /** They add up to `offered`. */
  counts: Record<Status, number>;
  missRate: number;
  effectiveAccuracy: number;
  onTimeAccuracy: number;
  /** Of answers, at the client, from the intended arrival; 0 without any. */
  p50Ms: number;
  p99Ms: number;
  /** Of answers: by a node; and the mean of how deep they were, 1 for a ladder's last rung. */
  nodeShare: number;
  depth: number;
  /** How often each place and rung answered, and what was not answered. */
  mix: Record<string, number>;
};

/** Simulated less live; latencies also as shares of the live ones. */
export type RunError = {
  p50Ms: number;
  p99Ms: number;
  p50Share: number;
  p99Share: number;
  missPoints: number;
  accuracyPoints: number;
  /** Of the requests: alike in having been on time or not. */
  sameFate: number;
};

export function figuresOf(trace: Trace, records: Records): RunFigures {
  const counted = ({ atMs }: { atMs: number }): boolean => atMs >= trace.leadMs;
  const summary: Summary = records.summary(counted);
  let [answers, depth] = [0, 0];
  for (const request of trace.workload.requests) {
    const outcome = records.outcome(request);
    if (!counted(request) || !outcome || outcome.rung < 0 || outcome.node === ON_DEVICE) continue;
    answers++;
    depth += (outcome.rung + 1) / request.user.application.rungs.length;
  }
  const { offered, counts, missRate, effectiveAccuracy, onTimeAccuracy, nodeShare, p50Ms, p99Ms } = summary;
  return {
    offered,
    counts,
    missRate,
    effectiveAccuracy,
    onTimeAccuracy,
    p50Ms: answers > 0 ? p50Ms : 0,
    p99Ms: answers > 0 ? p99Ms : 0,
    nodeShare,
    depth: depth / Math.max(1, answers),
    mix: Object.fromEntries(records.choices(counted)),
  };
}

/** Both must be of the same trace. */
export function errorOf(trace: Trace, live: Records, simulated: Records): RunError {
  const [a, b] = [figuresOf(trace, live), figuresOf(trace, simulated)];
  let [counted, same] = [0, 0];
  for (const request of trace.workload.requests) {
    if (request.atMs < trace.leadMs) continue;
    counted++;
    const onTime = (records: Records): boolean => records.outcome(request)?.status === "onTime";
    if (onTime(live) === onTime(simulated)) same++;
  }
  const share = (of: number, over: number): number => (over > 0 ? (of - over) / over : 0);
  return {
    p50Ms: b.p50Ms - a.p50Ms,
    p99Ms: b.p99Ms - a.p99Ms,
    p50Share: share(b.p50Ms, a.p50Ms),
    p99Share: share(b.p99Ms, a.p99Ms),
    missPoints: 100 * (b.missRate - a.missRate),
    accuracyPoints: 100 * (b.effectiveAccuracy - a.effectiveAccuracy),
    sameFate: same / Math.max(1, counted),
  };
}
