/** Waiting for something, but not longer than a given time, and not for a client that has gone. */

export const TIMED_OUT = Symbol("timed out");

/** `work`, or TIMED_OUT after `ms` or when `signal` aborts. The loser is left to settle unseen; its timer is cleared. */
export async function raceTime<T>(work: Promise<T>, ms: number, signal: AbortSignal): Promise<T | typeof TIMED_OUT> {
  if (signal.aborted) return TIMED_OUT;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stop: (() => void) | undefined;
  const tooLate = new Promise<typeof TIMED_OUT>((resolve) => {
    stop = () => resolve(TIMED_OUT);
    timer = setTimeout(stop, Math.max(0, ms));
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work, tooLate]);
  } finally {
    if (timer !== undefined) clearTimeout(timer);
    if (stop) signal.removeEventListener("abort", stop);
    // A loser that rejects later must not become an unhandled rejection.
    work.catch(() => undefined);
  }
}
