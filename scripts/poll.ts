/** Waiting for a process to come to something, with a bound and with its last words when it does not. */
import type { Child } from "./children.ts";

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 100;

/**
 * Repeats `attempt` until it gives null; a string is why not yet. Rejects with `failure`, the last reason and the last
 * lines of `child`'s output after `boundMs`, or as soon as `child` has ended.
 */
export async function poll(
  boundMs: number,
  failure: string,
  child: Child,
  attempt: () => Promise<string | null>,
): Promise<void> {
  const until = performance.now() + boundMs;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 1.2, LONGEST_PAUSE_MS)) {
    const reason = await attempt().catch((error: unknown) => String(error));
    if (reason === null) return;
    if (!child.running) {
      throw new Error(`${failure}: ${child.name} has ended (${(await child.ended).how}):\n${child.tail}`);
    }
    if (performance.now() > until) throw new Error(`${failure} within ${boundMs / 1000} s: ${reason}\n${child.tail}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
