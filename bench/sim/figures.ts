/** The figures of one policy in one cell and seed (EVALUATION §7). Sums, so that cells and seeds can be put together. */
import { quantile } from "../lib/statistics.ts";
import { jain, ON_DEVICE, STATUSES, type Records, type Status } from "../simulator/records.ts";
import type { Offered } from "../simulator/workload.ts";
import type { World } from "../simulator/world.ts";

export type Figures = {
  offered: number;
  /** They add up to `offered`. */
  counts: Record<Status, number>;
  /** Right and on time. */
  right: number;
  /** Σ P(right | all confidences) of the answers on time; null where no information bound was made. */
  expected: number | null;
  /** Of answers, from intended arrival, at the client. */
  p50Ms: number;
  p99Ms: number;
  /** The same by deadline. */
  byDeadline: Record<string, { offered: number; onTime: number; p50Ms: number; p99Ms: number }>;
  /** Per user: offered, on time, right and on time. */
  users: [offered: number, onTime: number, right: number][];
  /** Of what was spent on all requests, per 1,000 answers on time of them. */
  deviceMs: number;
  edgeMs: number;
  nodeMs: number;
  uplinkBytes: number;
  /** How often each place and rung answered. */
  mix: Record<string, number>;
  /** What the simulation took on its own thread: other threads' tasks and the collector's helpers are not in it. */
  cpuMs: number;
};

export function figuresOf(
  world: World,
  records: Records,
  measured: (request: Offered) => boolean,
  expectation: ((request: Offered, rung: number) => number) | null,
  cpuMs: number,
): Figures {
  const counts: Record<Status, number> = { onTime: 0, late: 0, dropped: 0, rejected: 0, default: 0, error: 0 };
  const users = world.workload.users.map((): [number, number, number] => [0, 0, 0]);
  const tookMs: number[] = [];
  const classes = new Map<number, { offered: number; onTime: number; tookMs: number[] }>();
  const mix: Record<string, number> = {};
  let [offered, right, expected, allOnTime] = [0, 0, 0, 0];
  for (const request of world.workload.requests) {
    const outcome = records.outcome(request);
    const status = outcome?.status ?? "error";
    if (status === "onTime") allOnTime++;
    if (!measured(request)) continue;
    offered++;
    counts[status]++;
    const { index, deadlineMs } = request.user;
    const user = users[index] as [number, number, number];
    const kind = classes.get(deadlineMs) ?? { offered: 0, onTime: 0, tookMs: [] };
    classes.set(deadlineMs, kind);
    user[0]++;
    kind.offered++;
    if (outcome && outcome.rung >= 0) {
      tookMs.push(outcome.totalMs);
      kind.tookMs.push(outcome.totalMs);
      const tier = outcome.node === ON_DEVICE ? "device" : outcome.node >= 0 ? "node" : "edge";
      const place = `${request.user.application.name} ${tier} ${request.user.application.rungs[outcome.rung]?.name}`;
      mix[place] = (mix[place] ?? 0) + 1;
    }
    if (!outcome || status !== "onTime") continue;
    user[1]++;
    kind.onTime++;
    if (expectation) expected += expectation(request, outcome.rung);
    if (!outcome.right) continue;
    right++;
    user[2]++;
  }
  const per = 1000 / Math.max(1, allOnTime);
  const sides = world.workload.users.map((user) => world.side(user));
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return {
    offered,
    counts,
    right,
    expected: expectation ? expected : null,
    ...latencies(tookMs),
    byDeadline: Object.fromEntries(
      [...classes].map(([deadlineMs, one]) => [
        `${deadlineMs}`,
        { offered: one.offered, onTime: one.onTime, ...latencies(one.tookMs) },
      ]),
    ),
    users,
    deviceMs: per * sum(sides.map(({ device }) => device?.busyMs ?? 0)),
    edgeMs: per * sum([...world.edges.values()].flat().map(({ busyMs }) => busyMs)),
    nodeMs: per * sum(world.nodes.map(({ site }) => site.busyMs)),
    uplinkBytes: per * sum(sides.map(({ link }) => link?.bytes ?? 0)),
    mix,
    cpuMs,
  };
}

/** What readers ask for first. Seeds count by their requests; users of all seeds together. */
export type Headline = {
  offered: number;
  counts: Record<Status, number>;
  missRate: number;
  effectiveAccuracy: number;
  onTimeAccuracy: number;
  p50Ms: number;
  p99Ms: number;
  /** Of users' on-time shares and of their effective accuracies. */
  jainOnTime: number;
  jainAccuracy: number;
  /** Of the tenth of users for whom it is largest, and of the one. */
  worstDecileMissRate: number;
  worstUserMissRate: number;
};

export function headline(all: readonly Figures[]): Headline {
  const offered = all.reduce((sum, one) => sum + one.offered, 0);
  const counts = Object.fromEntries(
    STATUSES.map((status) => [status, all.reduce((sum, one) => sum + one.counts[status], 0)]),
  ) as Record<Status, number>;
  const right = all.reduce((sum, one) => sum + one.right, 0);
  const users = all.flatMap((one) => one.users).filter(([count]) => count > 0);
  const misses = users.map(([count, onTime]) => 1 - onTime / count).sort((a, b) => b - a);
  const decile = misses.slice(0, Math.max(1, Math.ceil(misses.length / 10)));
  const mean = (of: (one: Figures) => number): number => all.reduce((sum, one) => sum + of(one), 0) / all.length;
  return {
    offered,
    counts,
    missRate: 1 - counts.onTime / Math.max(1, offered),
    effectiveAccuracy: right / Math.max(1, offered),
    onTimeAccuracy: right / Math.max(1, counts.onTime),
    p50Ms: mean(({ p50Ms }) => p50Ms),
    p99Ms: mean(({ p99Ms }) => p99Ms),
    jainOnTime: jain(users.map(([count, onTime]) => onTime / count)),
    jainAccuracy: jain(users.map(([count, , one]) => one / count)),
    worstDecileMissRate: decile.reduce((a, b) => a + b, 0) / Math.max(1, decile.length),
    worstUserMissRate: misses[0] ?? 0,
  };
}

/** Nulls of JSON are what NaN becomes; 0 stands for "no answer at all" as well. */
function latencies(tookMs: readonly number[]): { p50Ms: number; p99Ms: number } {
  if (tookMs.length === 0) return { p50Ms: 0, p99Ms: 0 };
  // Numbers sort themselves several times faster than a comparison sorts them; what is in order costs `quantile` little.
  const sorted = [...Float64Array.from(tookMs).sort()];
  return { p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99) };
}
