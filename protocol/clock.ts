/**
 * Time as every side sees it.
 *
 * In a deployed Worker the clock stands still while code computes; it moves only when I/O that was awaited settles
 * or a new event arrives. Code that needs an honest instant must therefore take it at one of those two places, and
 * this interface names them: `arrive()` at the start of an event, `settled()` around I/O. `now()` may be stale by
 * all the computation since. Timers are not I/O here: a zero timer does not unfreeze a deployed clock honestly.
 */
export interface Clock {
  /** Milliseconds since some fixed origin, as of the last honest moment. Never decreases. */
  now(): number;
  /** An event (request, RPC call, message, alarm) has just arrived: the honest instant. */
  arrive(): number;
  /** Passes `io` through; once it settles, `now()` is honest again. */
  settled<T>(io: Promise<T>): Promise<T>;
}

/** The platform's own clock. Where the platform freezes it, this one stands still as well. */
export class SystemClock implements Clock {
  readonly #read: () => number;

  constructor(read: () => number = () => Date.now()) {
    this.#read = read;
  }

  now(): number {
    return this.#read();
  }

  arrive(): number {
    return this.#read();
  }

  settled<T>(io: Promise<T>): Promise<T> {
    return io;
  }
}

/** A clock that never moves: nothing that decides may divide by elapsed time or wait for it to pass. */
export class ConstantClock implements Clock {
  readonly #at: number;

  constructor(at: number) {
    this.#at = at;
  }

  now(): number {
    return this.#at;
  }

  arrive(): number {
    return this.#at;
  }

  settled<T>(io: Promise<T>): Promise<T> {
    return io;
  }
}

/**
 * A clock that moves only when an event arrives or awaited I/O settles, as in a deployed Worker. Local workerd lets
 * the clock run on during computation and so hides every dishonest measurement; the whole system is tested on this.
 */
export class IoClock implements Clock {
  readonly #read: () => number;
  #at: number;

  constructor(read: () => number = () => Date.now()) {
    this.#read = read;
    this.#at = read();
  }

  now(): number {
    return this.#at;
  }

  arrive(): number {
    return (this.#at = Math.max(this.#at, this.#read()));
  }

  async settled<T>(io: Promise<T>): Promise<T> {
    try {
      return await io;
    } finally {
      this.arrive();
    }
  }
}
