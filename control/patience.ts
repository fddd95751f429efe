/**
 * How long work may wait for its turn, by how much it is needed. A request's least answer may wait as long as its deadline
 * allows; deeper work only for part of that, the longer the more it gains for its time. So in a burst, which no price can
 * foresee, queues fill with deep work only so far, and those who arrive next still find room for their least answer. (Trunk
 * reservation, as telephone networks keep lines free for calls that have no other way.) On an idle machine nobody waits
 * and nothing changes.
 */

/** Of the time that work could wait and still be in time: what any deeper work may. */
export const DEEPER_WAITS = 0.25;
/** What gains at this share of the least answer's rate is kept back no more than that answer. */
const WORTH_WAITING = 1 / 3;

/** A rung on a machine: its time there, and how often it is right. */
type Worth = { medianMs: number; quality: number };

/**
 * Of the time that `deeper` could wait, the part it may. Keeping room for others' least answers costs what deeper work would
 * have gained; where a few milliseconds more gain nearly as much as the first ones did, that is a bad bargain.
 */
export function waitsFor(deeper: Worth, least: Worth): number {
  const gain = deeper.quality - least.quality;
  const rate = gain * least.medianMs;
  const enough = WORTH_WAITING * least.quality * (deeper.medianMs - least.medianMs);
  if (gain <= 0) return DEEPER_WAITS;
  return rate >= enough ? 1 : DEEPER_WAITS + (1 - DEEPER_WAITS) * (rate / enough);
}

/**
 * The instant by which deeper work of `workMs`, due at `deadlineAt`, must be predicted to end so that it waits only its part:
 * `waits` of what it could.
 */
export function deeperDueAt(deadlineAt: number, workMs: number, now: number, waits: number): number {
  const slackMs = deadlineAt - now - workMs;
  return slackMs > 0 ? deadlineAt - (1 - waits) * slackMs : deadlineAt;
}

/** The longest deeper work that `aheadMs` before it lets in when it may wait no longer than any. */
export function deeperFitsMs(deadlineAt: number, aheadMs: number, now: number): number {
  return deadlineAt - now - aheadMs / DEEPER_WAITS;
}
