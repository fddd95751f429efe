/** What became of every request, and the figures read off it. */
import { quantile } from "../lib/statistics.ts";
import type { Offered, Workload } from "./workload.ts";

/**
 * `late`: answered after the deadline. `dropped`: it ran out of time without an answer. `rejected`: refused before that.
 * `default`: an answer that no exit gave. `error`: a failure of ours. They add up to what was offered.
 */
export const STATUSES = ["onTime", "late", "dropped", "rejected", "default", "error"] as const;
export type Status = (typeof STATUSES)[number];

/** `Outcome.node` of an answer that the user's device gave. */
export const ON_DEVICE = -2;

export type Outcome = {
  status: Status;
  /** Of the answer; −1 without one. */
  rung: number;
  /** −1 for the edge and where nobody answered, ON_DEVICE for the user's own device. */
  node: number;
  right: boolean;
  degraded: boolean;
  /** From intended arrival; the time it was given up where there was no answer. */
  totalMs: number;
  predictedMs: number;
};

export type Summary = {
  offered: number;
  counts: Record<Status, number>;
  /** Shares of what was offered. */
  missRate: number;
  /** Right answers on time over all offered: late counts as wrong. */
  effectiveAccuracy: number;
  onTimeAccuracy: number;
  nodeShare: number;
  p50Ms: number;
  p99Ms: number;
  /** Of users' effective accuracy. */
  jain: number;
  worstDecile: number;
  worstUser: number;
  /** Of answers: mean of |predicted − actual| over actual, and of (predicted − actual), in ms. */
  predictionError: number;
  predictionBiasMs: number;
};

export class Records {
  readonly #workload: Workload;
  readonly #outcomes: (Outcome | undefined)[];
  #duplicates = 0;

  constructor(workload: Workload) {
    this.#workload = workload;
    this.#outcomes = new Array<Outcome | undefined>(workload.requests.length);
  }

  /** A second outcome of the same request changes nothing but the count of duplicates. */
  finish(request: Offered, outcome: Outcome): void {
    if (this.#outcomes[request.id]) this.#duplicates++;
    else this.#outcomes[request.id] = outcome;
  }

  outcome(request: Offered): Outcome | undefined {
    return this.#outcomes[request.id];
  }

  /** Outcomes told twice. */
  get duplicates(): number {
    return this.#duplicates;
  }

  /** Requests of which nothing was ever heard. */
  get lost(): number {
    let count = 0;
    for (let id = 0; id < this.#outcomes.length; id++) if (!this.#outcomes[id]) count++;
    return count;
  }

  /** What was answered, one request a line: equal texts are equal runs. */
  text(): string {
    return this.#workload.requests
      .map((request) => {
        const o = this.#outcomes[request.id];
        return o
          ? `${request.id} ${o.status} ${o.rung} ${o.node} ${o.right ? 1 : 0} ${o.totalMs.toFixed(6)}`
          : `${request.id} lost`;
      })
      .join("\n");
  }

  /** Figures of the requests chosen: by intended arrival, by user. Lost ones count as errors. */
  summary(chosen: (request: Offered) => boolean = () => true): Summary {
    const counts: Record<Status, number> = { onTime: 0, late: 0, dropped: 0, rejected: 0, default: 0, error: 0 };
    const users = new Map<number, { offered: number; right: number }>();
    const tookMs: number[] = [];
    let [offered, right, byNode, errors, biasMs] = [0, 0, 0, 0, 0];
    for (const request of this.#workload.requests) {
      if (!chosen(request)) continue;
      offered++;
      const user = users.get(request.user.index) ?? { offered: 0, right: 0 };
      users.set(request.user.index, user);
      user.offered++;
      const outcome = this.#outcomes[request.id];
      counts[outcome?.status ?? "error"]++;
      if (!outcome || outcome.rung < 0) continue;
      tookMs.push(outcome.totalMs);
      const error = outcome.predictedMs - outcome.totalMs;
      errors += Math.abs(error) / Math.max(outcome.totalMs, 0.1);
      biasMs += error;
      if (outcome.node >= 0) byNode++;
      if (outcome.status !== "onTime" || !outcome.right) continue;
      right++;
      user.right++;
    }
    const accuracies = [...users.values()].map((user) => user.right / user.offered).sort((a, b) => a - b);
    const decile = accuracies.slice(0, Math.max(1, Math.ceil(accuracies.length / 10)));
    const answered = Math.max(1, tookMs.length);
    return {
      offered,
      counts,
      missRate: 1 - counts.onTime / Math.max(1, offered),
      effectiveAccuracy: right / Math.max(1, offered),
      onTimeAccuracy: right / Math.max(1, counts.onTime),
      nodeShare: byNode / answered,
      p50Ms: tookMs.length > 0 ? quantile(tookMs, 0.5) : Number.NaN,
      p99Ms: tookMs.length > 0 ? quantile(tookMs, 0.99) : Number.NaN,
      jain: jain(accuracies),
      worstDecile: decile.reduce((a, b) => a + b, 0) / decile.length,
      worstUser: accuracies[0] ?? Number.NaN,
      predictionError: errors / answered,
      predictionBiasMs: biasMs / answered,
    };
  }

  /** How often each rung answered, and what was not answered. */
  choices(chosen: (request: Offered) => boolean = () => true): Map<string, number> {
    const found = new Map<string, number>();
    for (const request of this.#workload.requests) {
      if (!chosen(request)) continue;
      const outcome = this.#outcomes[request.id];
      const name =
        !outcome || outcome.rung < 0
          ? (outcome?.status ?? "lost")
          : `${outcome.node >= 0 ? "node" : outcome.node === ON_DEVICE ? "device" : "edge"} ${request.user.application.rungs[outcome.rung]?.name}`;
      found.set(name, (found.get(name) ?? 0) + 1);
    }
    return new Map([...found].sort((a, b) => b[1] - a[1]));
  }
}

/** Jain's index: 1 when all are equal, 1/n when one has everything. */
export function jain(values: readonly number[]): number {
  const sum = values.reduce((a, b) => a + b, 0);
  const squares = values.reduce((a, b) => a + b * b, 0);
  return squares === 0 ? 1 : (sum * sum) / (values.length * squares);
}
