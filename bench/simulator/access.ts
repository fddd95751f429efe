/**
 * A user's way to the service: an uplink whose bandwidth changes from second to second and carries one thing after
 * another, and a round trip. Bandwidth is a first-order autoregressive process in the logarithm, fitted to the LTE and
 * WiFi series that the Jellyfish artifact was run with (their moments only; the series are not redistributed).
 */
import type { EventQueue } from "./event-queue.ts";
import { lognormal, luck, Random } from "./random.ts";

export type AccessSpec = {
  /** Of log Mbit/s: mean, deviation, correlation from one second to the next; and the range it is kept in. */
  logMean: number;
  logDeviation: number;
  lag: number;
  mbitPerS: readonly [least: number, most: number];
  /** There and back of a small message at the median, and the log-deviation of each way. */
  rttMs: number;
  jitter: number;
  /** Now and then the bandwidth falls to this share of itself; stays are exponential. */
  collapse?: { share: number; meanGoodMs: number; meanBadMs: number };
};

export const LTE: AccessSpec = {
  logMean: 2.65,
  logDeviation: 0.4,
  lag: 0.63,
  mbitPerS: [2.9, 26.3],
  rttMs: 25,
  jitter: 0.25,
};

export const WIFI: AccessSpec = {
  logMean: 3.88,
  logDeviation: 0.41,
  lag: 0.81,
  mbitPerS: [12.9, 90.8],
  rttMs: 5,
  jitter: 0.3,
};

/** Bandwidth is constant for so long. */
const STEP_MS = 1000;
/** Ways of a request over the link: names of their draws. */
const LEGS = { up: 60, down: 61, hello: 62, helloBack: 63 } as const;

export class AccessLink {
  readonly #events: EventQueue;
  readonly #seed: number;
  readonly #spec: AccessSpec;
  /** Kilobits that could have been sent by the beginning of each step. */
  readonly #sent: Float64Array;
  /** Kilobits per millisecond, that is Mbit/s, in each step; the last goes on for ever. */
  readonly #rate: Float64Array;
  #freeAt = 0;
  #bytes = 0;
  #pending = 0;

  /** `name` names the stream its bandwidth is drawn from. */
  constructor(events: EventQueue, seed: number, name: string, spec: AccessSpec, untilMs: number) {
    this.#events = events;
    this.#seed = seed;
    this.#spec = spec;
    this.#rate = rates(spec, new Random(seed, `network ${name}`), Math.ceil(untilMs / STEP_MS) + 2);
    this.#sent = new Float64Array(this.#rate.length);
    for (let i = 1; i < this.#rate.length; i++) {
      this.#sent[i] = (this.#sent[i - 1] as number) + STEP_MS * (this.#rate[i - 1] as number);
    }
  }

  /** Bytes sent up so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Sends `bytes` of a request up; `arrive` is called when the last of them is there. One message is sent after the other;
   * gives the instant this one begins.
   */
  up(request: number, bytes: number, arrive: () => void): number {
    this.#bytes += bytes;
    const beginsAt = Math.max(this.#events.now, this.#freeAt);
    this.#freeAt = this.timeOf(this.capacity(beginsAt) + (8 * bytes) / 1000);
    this.#pending += bytes;
    this.#events.at(this.#freeAt, () => (this.#pending -= bytes));
    this.#events.at(this.#freeAt + this.way(request, "up"), arrive);
    return beginsAt;
  }

  /** Kilobits per millisecond, on average over the time asked for. */
  get meanRate(): number {
    const last = this.#sent.length - 1;
    return (this.#sent[last] as number) / (last * STEP_MS);
  }

  /** Bytes that have not left yet. */
  get pending(): number {
    return this.#pending;
  }

  /** A reply, which is small. */
  down(request: number, arrive: () => void): void {
    this.#events.after(this.way(request, "down"), arrive);
  }

  /** One way of a small message of the request. */
  way(request: number, way: keyof typeof LEGS): number {
    return (this.#spec.rttMs / 2) * lognormal(luck(this.#seed, request, LEGS[way]), this.#spec.jitter);
  }

  /** Kilobits that could be sent from the beginning of the world until `at`. */
  capacity(at: number): number {
    const step = Math.min(this.#rate.length - 1, Math.max(0, Math.floor(at / STEP_MS)));
    return (this.#sent[step] as number) + (at - step * STEP_MS) * (this.#rate[step] as number);
  }

  /** When so many kilobits could have been sent: the inverse of `capacity`. */
  timeOf(kilobits: number): number {
    let [low, high] = [0, this.#sent.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#sent[middle] as number) <= kilobits) low = middle;
      else high = middle - 1;
    }
    return low * STEP_MS + (kilobits - (this.#sent[low] as number)) / (this.#rate[low] as number);
  }
}

function rates(spec: AccessSpec, random: Random, steps: number): Float64Array {
  const { logMean, logDeviation, lag, mbitPerS, collapse } = spec;
  const found = new Float64Array(steps);
  let x = logMean + logDeviation * random.normal();
  let bad = false;
  let changesAt = collapse ? random.exponential(collapse.meanGoodMs) : Number.POSITIVE_INFINITY;
  for (let i = 0; i < steps; i++) {
    while (collapse && changesAt <= i * STEP_MS) {
      bad = !bad;
      changesAt += random.exponential(bad ? collapse.meanBadMs : collapse.meanGoodMs);
    }
    const rate = Math.min(mbitPerS[1], Math.max(mbitPerS[0], Math.exp(x)));
    found[i] = rate * (bad ? (collapse?.share ?? 1) : 1);
    x = logMean + lag * (x - logMean) + logDeviation * Math.sqrt(1 - lag * lag) * random.normal();
  }
  return found;
}
