/**
 * Who asks for what, and when: made before the world begins, from streams no policy touches. A workload's text is the
 * proof that two runs were offered the same.
 */
import type { Application } from "../../protocol/application.ts";
import type { AccessSpec } from "./access.ts";
import { minuteInstants } from "./azure.ts";
import type { DeviceSpec } from "./device-site.ts";
import { Random } from "./random.ts";

/** When one user's requests come. `rate` and the entries of tables are per second. */
export type Arrivals =
  | { kind: "poisson"; rate: number }
  /** Independent gaps with this squared coefficient of variation: 1 is Poisson, more is burstier at the shortest scale. */
  | { kind: "gamma"; rate: number; cv2: number }
  /** Two states with exponential stays: bursts that fill queues. `rates` and `meanStayMs` of the calm and the busy state. */
  | { kind: "mmpp2"; rates: [number, number]; meanStayMs: [number, number] }
  /** Poisson whose rate is constant between the instants given; the last step goes on for ever. */
  | { kind: "steps"; steps: { fromMs: number; rate: number }[] }
  /** Counts of a recorded trace; nothing comes after them. */
  | { kind: "minutes"; perMinute: readonly number[]; speedUp: number; scale: number };

export type User = {
  /** Index of the user; `name` is what the service calls them. */
  index: number;
  name: string;
  application: Application;
  arrivals: Arrivals;
  deadlineMs: number;
  weight: number;
  /** Absent for a thin client. */
  device?: DeviceSpec;
  /** Absent for a client beside the front: nothing travels. */
  access?: AccessSpec;
};

/** One request as it is offered. `input` is the row of the application's input table. */
export type Offered = { id: number; user: User; atMs: number; input: number };

export type Workload = { users: User[]; requests: Offered[]; untilMs: number };

/** Instants before `untilMs`, in order. */
export function instants(arrivals: Arrivals, random: Random, untilMs: number): number[] {
  switch (arrivals.kind) {
    case "poisson":
      return renewals(() => random.exponential(1000 / arrivals.rate), 0, untilMs);
    case "gamma": {
      const shape = 1 / arrivals.cv2;
      return renewals(() => random.gamma(shape, 1000 / (arrivals.rate * shape)), 0, untilMs);
    }
    case "mmpp2":
      return switching(arrivals, random, untilMs);
    case "minutes":
      return minuteInstants(arrivals.perMinute, arrivals, random, untilMs);
    case "steps":
      // A Poisson process forgets: starting anew at each step is exact.
      return arrivals.steps.flatMap(({ fromMs, rate }, i) => {
        const endMs = Math.min(untilMs, arrivals.steps[i + 1]?.fromMs ?? untilMs);
        return rate > 0 ? renewals(() => random.exponential(1000 / rate), fromMs, endMs) : [];
      });
  }
}

/** Requests a second, on average over all time. */
export function meanRate(arrivals: Exclude<Arrivals, { kind: "steps" | "minutes" }>): number {
  if (arrivals.kind !== "mmpp2") return arrivals.rate;
  const { rates, meanStayMs } = arrivals;
  return (rates[0] * meanStayMs[0] + rates[1] * meanStayMs[1]) / (meanStayMs[0] + meanStayMs[1]);
}

/** Shares of a whole by Zipf's law: user i has 1/(i+1)^exponent of it; exponent 0 shares alike. */
export function zipfShares(count: number, exponent: number): number[] {
  const weights = Array.from({ length: count }, (_, i) => 1 / (i + 1) ** exponent);
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** All requests of all users in order of time. `inputs`: rows in the application's input table. */
export function makeWorkload(
  users: User[],
  seed: number,
  untilMs: number,
  inputs: (application: Application) => number,
): Workload {
  const requests = users.flatMap((user) => {
    const difficulty = new Random(seed, `difficulty ${user.index}`);
    const rows = inputs(user.application);
    return instants(user.arrivals, new Random(seed, `arrivals ${user.index}`), untilMs).map((atMs) => ({
      id: 0,
      user,
      atMs,
      input: difficulty.below(rows),
    }));
  });
  requests.sort((a, b) => a.atMs - b.atMs || a.user.index - b.user.index);
  requests.forEach((request, id) => (request.id = id));
  return { users, requests, untilMs };
}

/** What was offered, one request a line: equal texts are equal workloads. */
export function workloadText({ requests }: Workload): string {
  return requests
    .map(({ id, user, atMs, input }) => `${id} ${user.name} ${atMs} ${user.deadlineMs} ${input}`)
    .join("\n");
}

/** Figures a reader needs beside any result: rate, variation of gaps, index of dispersion of one-second counts, peak over mean. */
export function describeArrivals(
  atMs: readonly number[],
  untilMs: number,
): Record<"perS" | "cv" | "idc" | "peak", number> {
  const gaps = atMs.slice(1).map((at, i) => at - (atMs[i] as number));
  const counts = new Array<number>(Math.max(1, Math.floor(untilMs / 1000))).fill(0);
  for (const at of atMs) {
    const second = Math.floor(at / 1000);
    if (second < counts.length) counts[second] = (counts[second] as number) + 1;
  }
  const [gap, count] = [moments(gaps), moments(counts)];
  return {
    perS: (atMs.length / untilMs) * 1000,
    cv: Math.sqrt(gap.variance) / gap.mean,
    idc: count.variance / count.mean,
    peak: Math.max(...counts) / count.mean,
  };
}

function moments(sample: readonly number[]): { mean: number; variance: number } {
  const mean = sample.reduce((a, b) => a + b, 0) / sample.length;
  return { mean, variance: sample.reduce((sum, x) => sum + (x - mean) ** 2, 0) / sample.length };
}

function renewals(gap: () => number, fromMs: number, untilMs: number): number[] {
  const found: number[] = [];
  for (let at = fromMs + gap(); at < untilMs; at += gap()) found.push(at);
  return found;
}

function switching(
  { rates, meanStayMs }: Extract<Arrivals, { kind: "mmpp2" }>,
  random: Random,
  untilMs: number,
): number[] {
  const found: number[] = [];
  let state: 0 | 1 = random.uniform() < meanStayMs[0] / (meanStayMs[0] + meanStayMs[1]) ? 0 : 1;
  for (let fromMs = 0; fromMs < untilMs;) {
    const endMs = Math.min(untilMs, fromMs + random.exponential(meanStayMs[state]));
    const mean = 1000 / rates[state];
    for (const at of renewals(() => random.exponential(mean), fromMs, endMs)) found.push(at);
    fromMs = endMs;
    state = state === 0 ? 1 : 0;
  }
  return found;
}
