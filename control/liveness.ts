/**
 * Whether a machine at the other end still lives. It beats on its own; after some missed beats it is suspect, is asked
 * once for a sign of life, and is given up when that does not come in time. Without a time limit on that question a
 * machine that has vanished would never be given up.
 */

export const HEARTBEAT_MS = 1000;
/** Three missed beats: fewer happen on a network that is merely bad. */
export const SILENT_AFTER_MS = 3 * HEARTBEAT_MS;
/** Far above any way there and back. */
export const LIFE_PROBE_MS = 300;

export class Liveness {
  #heardAt: number;
  #askedAt: number | null = null;

  constructor(heardAt: number) {
    this.#heardAt = heardAt;
  }

  /** A sign of life, of any kind, given at `at`. */
  heard(at: number): void {
    if (at <= this.#heardAt) return;
    this.#heardAt = at;
    this.#askedAt = null;
  }

  ageMs(now: number): number {
    return Math.max(0, now - this.#heardAt);
  }

  /** Suspect: no more work until it is heard again. */
  silent(now: number): boolean {
    return now - this.#heardAt > SILENT_AFTER_MS;
  }

  /** What to do about it: nothing, ask now and look again after LIFE_PROBE_MS, or give it up. */
  check(now: number): "nothing" | "ask" | "dead" {
    if (!this.silent(now)) return "nothing";
    if (this.#askedAt === null) {
      this.#askedAt = now;
      return "ask";
    }
    return now - this.#askedAt >= LIFE_PROBE_MS ? "dead" : "nothing";
  }
}
