/** When to connect again: full jitter (a random wait up to a growing bound), so that a fleet does not return in step. */
const FIRST_MS = 250;
const LONGEST_MS = 15_000;

/** `attempt` counts failures since the last good connection, from 1. `random` is in [0, 1). */
export function reconnectDelayMs(attempt: number, random: number, hintMs = 0): number {
  const bound = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 16));
  return hintMs + random * bound;
}

/** A wait the service asked for: `retry_after_ms=…` in a close reason, or seconds in a Retry-After header. At most 5 min. */
export function retryHintMs(closeReason: string, retryAfter?: string): number {
  const inReason = /\bretry_after_ms=(\d{1,9})\b/.exec(closeReason)?.[1];
  const ms = inReason !== undefined ? Number(inReason) : Number(retryAfter ?? 0) * 1000;
  return Number.isFinite(ms) ? Math.min(300_000, Math.max(0, ms)) : 0;
}
