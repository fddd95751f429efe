/**
 * How full the thread of a front is, what a millisecond of it is worth, and who is turned away. Every request crosses that
 * thread several times, and on a machine of one's own all Workers share it: when it is full, what queues there is in
 * nobody's prediction, and each request that is let in makes all of them late.
 *
 * A thread like this works off everything that has arrived before it looks for more (a pass), and timers come last. So a
 * zero timer comes back when the pass is over: what it is late by is how long the pass took. Of n requests in it each has
 * waited for the n − 1 others; that part is the lag, and one request alone has none, however slow its stages are. A pass
 * under way is at least as long as its timer has been out. And what one has let in during a pass it has not paid for yet:
 * so many requests at what one took lately are the least of the next.
 * Where no computation is shared, as between a front and objects far away, timers are on time and nothing here acts.
 *
 * Instants are milliseconds of one clock, passed in.
 */

/** A request needs about two passes; at most so much of its time may one take. */
const LAG_SHARE = 2 / 5;
/** Of who sends no more than others, at most so much. */
const LIGHT_LAG_SHARE = 1 / 2;
/** Lag up to this is a thread at work, not a full one: two requests that happen to meet have as much. */
const LAG_OF_NOTE_MS = 2;
/** From this share of what requests have time for on average, the thread's time is as dear as it can be: nobody goes deeper than the least. */
const DEAREST_SHARE = 0.1;
/** One request's time in that average. */
const DEADLINE_WEIGHT = 1 / 32;
/** A timer's word is old after this: its request may have ended before it. */
const FRESH_MS = 100;
/** A timer out for longer belongs to a request that is gone. */
const LOST_AFTER_MS = 1000;
/** A pass this long was full, and what it took by request is what requests take. */
const FULL_PASS_MS = 5;
/** Of the thread's time, before anything was measured; and the most that is believed: other Workers' passes are long too. */
const REQUEST_MS = { first: 1, most: 5 };
/** What one pass says of that weighs so much. */
const WEIGHT = 1 / 8;
/** Requests are counted over so much time. */
const COUNTED_OVER_MS = 1000;

export class FrontLoad {
  /** By controller, of the present window and of the one before. */
  #requests = new Map<string, number>();
  #requestsBefore = new Map<string, number>();
  #windowBeganAt = Number.NEGATIVE_INFINITY;
  /** When the timer that is out was set; null when none is. */
  #setAt: number | null = null;
  /** Of the last two passes. A single long one may have been anything. */
  #lagsMs: [number, number] = [0, 0];
  #passedAt = Number.NEGATIVE_INFINITY;
  /** Requests let in since the timer was set, and what each takes. */
  #letIn = 0;
  #requestMs = REQUEST_MS.first;
  /** What requests have time for on average; null before the first. */
  #deadlineMs: number | null = null;

  /** True when a zero timer had better be set now; whoever asks sets it and calls `passed` when it fires. */
  wantsTimer(now: number): boolean {
    if (this.#setAt !== null && now - this.#setAt < LOST_AFTER_MS) return false;
    this.#setAt = now;
    this.#letIn = 0;
    return true;
  }

  /** The timer has fired. */
  passed(now: number): void {
    if (this.#setAt === null) return;
    const passMs = Math.max(0, now - this.#setAt);
    if (passMs >= FULL_PASS_MS && this.#letIn > 0) {
      this.#requestMs += WEIGHT * (Math.min(REQUEST_MS.most, passMs / this.#letIn) - this.#requestMs);
    }
    this.#lagsMs = [this.#lagsMs[1], shared(passMs, this.#letIn)];
    [this.#setAt, this.#letIn, this.#passedAt] = [null, 0, now];
  }

  /** How long a request that comes now will wait for others. */
  lagMs(now: number): number {
    return Math.max(this.#measuredMs(now), this.#letIn * this.#requestMs);
  }

  /** The price of the thread's time as a share of the highest: 0 to 1. A few that come together and are worked off are no shortage. */
  dearness(now: number): number {
    const dearestMs = Math.max(2 * LAG_OF_NOTE_MS, DEAREST_SHARE * (this.#deadlineMs ?? 0));
    const beyond = (this.#measuredMs(now) - LAG_OF_NOTE_MS) / (dearestMs - LAG_OF_NOTE_MS);
    return Math.min(1, Math.max(0, beyond));
  }

  /** May a request with so much time left come in? It counts as its user's either way. */
  admits(controller: string, remainingMs: number, now: number): boolean {
    this.#count(controller, now);
    this.#deadlineMs ??= remainingMs;
    this.#deadlineMs += DEADLINE_WEIGHT * (remainingMs - this.#deadlineMs);
    const lagMs = this.lagMs(now);
    const limit =
      lagMs >= LAG_SHARE * remainingMs && isHeavy(this.#requestsBefore, controller) ? LAG_SHARE : LIGHT_LAG_SHARE;
    const admitted = lagMs <= LAG_OF_NOTE_MS || lagMs < limit * remainingMs;
    if (admitted && this.#setAt !== null) this.#letIn++;
    return admitted;
  }

  #count(controller: string, now: number): void {
    const sinceMs = now - this.#windowBeganAt;
    if (sinceMs >= COUNTED_OVER_MS) {
      this.#requestsBefore = sinceMs < 2 * COUNTED_OVER_MS ? this.#requests : new Map<string, number>();
      this.#requests = new Map();
      this.#windowBeganAt = now;
    }
    this.#requests.set(controller, (this.#requests.get(controller) ?? 0) + 1);
  }

  /** What requests have waited for others lately, or already do. */
  #measuredMs(now: number): number {
    const known = now - this.#passedAt > FRESH_MS ? 0 : Math.min(...this.#lagsMs);
    const open = this.#setAt === null ? 0 : shared(now - this.#setAt, this.#letIn);
    return Math.max(known, open);
  }
}

/** Of a pass, what each of so many requests waited for others. */
function shared(passMs: number, requests: number): number {
  return requests > 1 ? passMs * (1 - 1 / requests) : 0;
}

/** Does this controller's user send more than users do on average? */
function isHeavy(counts: ReadonlyMap<string, number>, controller: string): boolean {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return (counts.get(controller) ?? 0) * counts.size > total;
}
