/** Ways between machines: distance, jitter, bandwidth. */
import type { EventQueue } from "./event-queue.ts";
import { lognormal, luck } from "./random.ts";

export type LinkSpec = {
  /** There and back, of a small message, at the median. */
  rttMs: number;
  /** Log-deviation of each journey. */
  jitter: number;
  /** 0: size does not matter. */
  mbitPerS: number;
};

const MILLISECONDS_PER_KILOBIT_AT_1_MBIT = 1;

/** One way of a message; `request` and `leg` name the draw. */
export function journeyMs(spec: LinkSpec, seed: number, request: number, leg: number, bytes: number): number {
  const distanceMs = (spec.rttMs / 2) * (spec.jitter > 0 ? lognormal(luck(seed, request, leg), spec.jitter) : 1);
  if (spec.mbitPerS === 0) return distanceMs;
  return distanceMs + ((bytes * 8) / 1000 / spec.mbitPerS) * MILLISECONDS_PER_KILOBIT_AT_1_MBIT;
}

/** One direction of a socket: messages arrive in the order they were sent. */
export class Wire {
  readonly #events: EventQueue;
  #lastAt = 0;

  constructor(events: EventQueue) {
    this.#events = events;
  }

  send(ms: number, arrive: () => void): void {
    this.#lastAt = Math.max(this.#lastAt, this.#events.now + ms);
    this.#events.at(this.#lastAt, arrive);
  }
}
