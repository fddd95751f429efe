/** What one machine does when: pieces of work that do not overlap, each run without a pause. Times are of the machine's own clock. */

export class Timeline {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  /** The earliest start from `fromAt` on at which `workMs` is free and over by `dueAt`; null where there is none. */
  earliest(fromAt: number, workMs: number, dueAt: number): number | null {
    let at = fromAt;
    for (let i = this.#firstEndingAfter(fromAt); i < this.#starts.length; i++) {
      if (at + workMs <= (this.#starts[i] as number)) break;
      at = this.#ends[i] as number;
      if (at + workMs > dueAt) return null;
    }
    return at + workMs <= dueAt ? at : null;
  }

  /** The time must be free. */
  add(startAt: number, workMs: number): void {
    const i = this.#firstEndingAfter(startAt);
    this.#starts.splice(i, 0, startAt);
    this.#ends.splice(i, 0, startAt + workMs);
  }

  /** Takes out what was added with that start. */
  remove(startAt: number): void {
    const i = this.#firstEndingAfter(startAt);
    if (this.#starts[i] !== startAt) throw new RangeError(`nothing starts at ${startAt}`);
    this.#starts.splice(i, 1);
    this.#ends.splice(i, 1);
  }

  #firstEndingAfter(at: number): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ends[middle] as number) <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
