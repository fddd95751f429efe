/**
 * How long work may wait for its turn, by how much it is needed. A request's least answer may wait as long as its deadline
 * allows; deeper work only for part of that. So in a burst, which no price can foresee, queues fill with deep work only
 * so far, and those who arrive next still find room for their least answer. (Trunk reservation, as telephone networks
 * keep lines free for calls that have no other way.) On an idle machine nobody waits and nothing changes.
 */

/** Of the time that work could wait and still be in time. */
export const DEEPER_WAITS = 0.5;

/** The instant by which deeper work of `workMs`, due at `deadlineAt`, must be predicted to end so that it waits only its part. */
export function deeperDueAt(deadlineAt: number, workMs: number, now: number): number {
  const slackMs = deadlineAt - now - workMs;
  return slackMs > 0 ? deadlineAt - (1 - DEEPER_WAITS) * slackMs : deadlineAt;
}

/** The longest deeper work that `aheadMs` before it lets in under the same rule. */
export function deeperFitsMs(deadlineAt: number, aheadMs: number, now: number): number {
  return deadlineAt - now - aheadMs / DEEPER_WAITS;
}
