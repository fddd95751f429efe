/**
 * How long things take, learnt from what was measured: the edge by its callers across I/O, a node's link by what is
 * left of a call once the agent's own honest figures are taken out. All updates are O(1) and read no clock.
 */

/** A run at the edge takes `overheadMs + slowdown · (ahead + profile)`: sums of a least-squares fit with old samples fading. */
export type EdgeEstimate = { weight: number; x: number; y: number; xx: number; xy: number };

/** Time on the way to a node and back, without queue and compute: mean and mean deviation, as TCP keeps its RTT (RFC 6298). */
export type LinkEstimate = { meanMs: number; deviationMs: number };

const FADE = 0.995;
/** Profile milliseconds a fit must rest on before it is believed: ticks are whole milliseconds, stages take fractions. */
const ENOUGH_PROFILE_MS = 50;
const PRIOR = { slowdown: 1, overheadMs: 1, samples: 20 };
const SLOWDOWN_RANGE: [number, number] = [0.1, 30];

export const NEW_EDGE_ESTIMATE: EdgeEstimate = { weight: 0, x: 0, y: 0, xx: 0, xy: 0 };

/** Before the first answer a link is assumed to be one across a city, not one across a table. */
export const NEW_LINK_ESTIMATE: LinkEstimate = { meanMs: 8, deviationMs: 4 };

/**
 * Adds a measurement: `tookMs` by the caller, `aheadMs` profile work found queued, `profileMs` of the stages that ran. What
 * slows a run down slows the work before it down as well, so both are scaled alike. A measurement of zero says only that
 * the clock did not tick, and is no sample.
 */
export function observeEdge(estimate: EdgeEstimate, tookMs: number, aheadMs: number, profileMs: number): EdgeEstimate {
  if (!(tookMs > 0) || !(profileMs > 0)) return estimate;
  const x = aheadMs + profileMs;
  return {
    weight: estimate.weight * FADE + 1,
    x: estimate.x * FADE + x,
    y: estimate.y * FADE + tookMs,
    xx: estimate.xx * FADE + x * x,
    xy: estimate.xy * FADE + x * tookMs,
  };
}

/**
 * Slow-down and overhead of the edge. The fit is ridge regression towards the prior, so that two unknowns stay
 * apart when every request ran the same stages; below ENOUGH_PROFILE_MS the prior alone answers.
 */
export function edgeSpeed(estimate: EdgeEstimate): { slowdown: number; overheadMs: number } {
  if (estimate.x < ENOUGH_PROFILE_MS) return { slowdown: PRIOR.slowdown, overheadMs: PRIOR.overheadMs };
  const spread = estimate.xx / estimate.weight;
  const a = estimate.weight + PRIOR.samples;
  const d = estimate.xx + PRIOR.samples * spread;
  const b = estimate.x;
  const u = estimate.y + PRIOR.samples * PRIOR.overheadMs;
  const v = estimate.xy + PRIOR.samples * spread * PRIOR.slowdown;
  const determinant = a * d - b * b;
  const overheadMs = (u * d - b * v) / determinant;
  const slowdown = (a * v - b * u) / determinant;
  return {
    slowdown: Math.min(SLOWDOWN_RANGE[1], Math.max(SLOWDOWN_RANGE[0], slowdown)),
    overheadMs: Math.max(0, overheadMs),
  };
}

/** Adds one journey to a node and back: the caller's time less the agent's own queue and compute time. */
export function observeLink(estimate: LinkEstimate, journeyMs: number): LinkEstimate {
  const sample = Math.max(0, journeyMs);
  const error = sample - estimate.meanMs;
  return {
    meanMs: estimate.meanMs + error / 8,
    deviationMs: estimate.deviationMs + (Math.abs(error) - estimate.deviationMs) / 4,
  };
}

/** The upper estimate that feasibility is decided on. */
export function linkUpperMs(estimate: LinkEstimate): number {
  return estimate.meanMs + 2 * estimate.deviationMs;
}
