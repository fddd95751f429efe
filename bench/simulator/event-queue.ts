/** Virtual time: a heap of events in order of their instant; of equals the one that was asked for first. */

/** Handle of an event that has not happened. */
export type Timer = { readonly at: number; readonly order: number; run: (() => void) | null };

export class EventQueue {
  readonly #heap: Timer[] = [];
  #now = 0;
  #order = 0;
  #happened = 0;

  /** Milliseconds since the world began. */
  get now(): number {
    return this.#now;
  }

  /** Events that have happened. */
  get happened(): number {
    return this.#happened;
  }

  /** Runs `run` at that instant, or now if it has passed. Throws RangeError where the instant is no number. */
  at(instant: number, run: () => void): Timer {
    if (Number.isNaN(instant)) throw new RangeError("an event needs an instant");
    const timer: Timer = { at: Math.max(instant, this.#now), order: this.#order++, run };
    this.#rise(timer);
    return timer;
  }

  after(ms: number, run: () => void): Timer {
    return this.at(this.#now + ms, run);
  }

  /** A timer that was cancelled never runs. */
  cancel(timer: Timer | null): void {
    if (timer) timer.run = null;
  }

  /** Runs events up to and including `until`, then stands there. */
  run(until: number): void {
    for (let first = this.#heap[0]; first && first.at <= until; first = this.#heap[0]) {
      this.#sink();
      if (!first.run) continue;
      this.#now = first.at;
      this.#happened++;
      first.run();
    }
    this.#now = Math.max(this.#now, until);
  }

  #rise(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Timer;
      if (earlier(above, timer)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = timer;
  }

  /** Takes the first one out. */
  #sink(): void {
    const heap = this.#heap;
    const last = heap.pop() as Timer;
    const size = heap.length;
    if (size === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && earlier(heap[child + 1] as Timer, heap[child] as Timer)) child++;
      const below = heap[child] as Timer;
      if (earlier(last, below)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}

function earlier(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
