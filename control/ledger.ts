/**
 * What a gateway has in flight for its node, by ticket (its callers' name for a job) and by sequence (the wire's).
 * Bounded in jobs and bytes. Entries go in and out whole, so the two indexes and the count of bytes cannot disagree.
 */
import type { Claim } from "../protocol/fleet.ts";
import { MAX_IN_FLIGHT } from "../protocol/limits.ts";
import type { QueuedWork } from "./run-queue.ts";

/** Tensors sent and not yet answered. They may still lie in the socket's buffer, in an isolate of 128 MB. */
export const MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024;
/** Sequences are unique within an epoch even when the object loses its memory: the upper bits count its lives. */
export const MAX_LIVES = 2 ** 12;
const SEQUENCES_PER_LIFE = 2 ** 20;

/** `id` is the ticket. */
export type Flight = QueuedWork & {
  sequence: number;
  application: string;
  from: "input" | number;
  /** As sent: the answer must lie between these. */
  rung: number;
  minRung: number;
  sentAt: number;
  bytes: number;
  claim: Claim;
  /** What of the node's time was charged to the claim. */
  chargedMs: number;
};

export class Ledger {
  readonly #byTicket = new Map<string, Flight>();
  readonly #bySequence = new Map<number, Flight>();
  readonly #firstSequence: number;
  #lastOffset = 0;
  #bytes = 0;

  /** `life`: how often the object was rebuilt under the connection whose jobs these are. */
  constructor(life: number) {
    this.#firstSequence = life * SEQUENCES_PER_LIFE;
  }

  get size(): number {
    return this.#byTicket.size;
  }

  flights(): Flight[] {
    return [...this.#byTicket.values()];
  }

  /** Is there room for one more job with a tensor of this size, with those named taken for gone? */
  fits(bytes: number, without: ReadonlySet<string>): boolean {
    let freedBytes = 0;
    for (const ticket of without) freedBytes += this.#byTicket.get(ticket)?.bytes ?? 0;
    return (
      this.#byTicket.size - without.size < MAX_IN_FLIGHT && this.#bytes - freedBytes + bytes <= MAX_IN_FLIGHT_BYTES
    );
  }

  /** A sequence that no job in flight has and none of an earlier life can have; never 0. */
  nextSequence(): number {
    let sequence: number;
    do {
      this.#lastOffset = (this.#lastOffset + 1) % SEQUENCES_PER_LIFE;
      sequence = this.#firstSequence + this.#lastOffset;
    } while (sequence === 0 || this.#bySequence.has(sequence));
    return sequence;
  }

  add(flight: Flight): void {
    this.#byTicket.set(flight.id, flight);
    this.#bySequence.set(flight.sequence, flight);
    this.#bytes += flight.bytes;
  }

  byTicket(ticket: string): Flight | undefined {
    return this.#byTicket.get(ticket);
  }

  bySequence(sequence: number): Flight | undefined {
    return this.#bySequence.get(sequence);
  }

  remove(flight: Flight): void {
    if (!this.#byTicket.delete(flight.id)) return;
    this.#bySequence.delete(flight.sequence);
    this.#bytes -= flight.bytes;
  }
}
