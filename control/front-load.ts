/**
 * How busy the thread of a front is, and who is turned away while it is. Every request crosses that thread many times, and
 * on a machine of one's own all Workers share it: when it is full, what queues there is in nobody's prediction, and each
 * request that is let in makes all of them late.
 *
 * The front cannot see its own queue, but it waits in it with every question to a controller. What a question takes beyond
 * the least it took lately, to the same controller, is lag: distance to the controller does not count. A request makes
 * about four such round trips in all, and has to compute, too. Where the lag of all of them would take a quarter of its
 * time it is refused before it costs anything: if all were let in that could just make it, all would be late.
 *
 * Instants are milliseconds of one clock, passed in.
 */

/** Of the time a request has, at most so much may be the lag of one round trip. */
const LAG_SHARE = 1 / 16;
/** Of who sends no more than others, at most so much. */
const LIGHT_LAG_SHARE = 1 / 8;
/** Less lag is no sign of anything: clocks tick in milliseconds, and a stage that runs keeps everybody for some. */
const LAG_OF_NOTE_MS = 5;
/** A busy thread delays everybody: lag is what even the quickest of so many questions waited. One that is slow is none. */
const QUESTIONS = 5;
/** Answers older than this say nothing: after a burst somebody has to be let in to see that it is over. */
const FRESH_MS = 200;
/** The least is taken over this time and up to as much before. */
const LEAST_OVER_MS = 60_000;
/** Requests are counted over so much time. */
const COUNTED_OVER_MS = 1000;

export class FrontLoad {
  readonly #least = new Windows(LEAST_OVER_MS);
  readonly #requests = new Windows(COUNTED_OVER_MS);
  /** Of the last QUESTIONS answers, the oldest first. */
  readonly #lags: { lagMs: number; at: number }[] = [];

  /** A question to this controller was answered, sent `tookMs` ago. */
  answered(controller: string, tookMs: number, now: number): void {
    const { current, before } = this.#least.at(now);
    const least = Math.min(current.get(controller) ?? tookMs, tookMs);
    current.set(controller, least);
    this.#lags.push({ lagMs: tookMs - Math.min(least, before.get(controller) ?? least), at: now });
    if (this.#lags.length > QUESTIONS) this.#lags.shift();
  }

  /** What a round trip through this thread takes more than at rest. */
  lagMs(now: number): number {
    const [oldest] = this.#lags;
    if (!oldest || this.#lags.length < QUESTIONS || oldest.at < now - FRESH_MS) return 0;
    const lagMs = Math.min(...this.#lags.map((answer) => answer.lagMs));
    return lagMs < LAG_OF_NOTE_MS ? 0 : lagMs;
  }

  /** May a request with so much time left come in? It counts as its user's either way. */
  admits(controller: string, remainingMs: number, now: number): boolean {
    const { current, before } = this.#requests.at(now);
    current.set(controller, (current.get(controller) ?? 0) + 1);
    const lagMs = this.lagMs(now);
    if (lagMs < LAG_SHARE * remainingMs) return true;
    return lagMs < LIGHT_LAG_SHARE * remainingMs && !isHeavy(before, controller);
  }
}

/** Does this controller's user send more than users do on average? */
function isHeavy(counts: ReadonlyMap<string, number>, controller: string): boolean {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return (counts.get(controller) ?? 0) * counts.size > total;
}

/** A number for each controller, of the present window and of the one before. */
class Windows {
  readonly #lengthMs: number;
  #beganAt = Number.NEGATIVE_INFINITY;
  #current = new Map<string, number>();
  #before = new Map<string, number>();

  constructor(lengthMs: number) {
    this.#lengthMs = lengthMs;
  }

  at(now: number): { current: Map<string, number>; before: ReadonlyMap<string, number> } {
    const sinceMs = now - this.#beganAt;
    if (sinceMs >= this.#lengthMs) {
      this.#before = sinceMs < 2 * this.#lengthMs ? this.#current : new Map();
      this.#current = new Map();
      this.#beganAt = now;
    }
    return { current: this.#current, before: this.#before };
  }
}
