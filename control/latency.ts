/**
 * How long things take, learnt from what was measured: the edge by its callers across I/O, a node's link by what is
 * left of a call once the agent's own honest figures are taken out. All updates are O(1); instants are passed in.
 */

/**
 * A run at the edge takes `overheadMs + slowdown · (ahead + profile)`: sums of a least-squares fit with old samples
 * fading. `tookMs` and `fittedMs` are the same ratio over the last few runs, which follows a change the fit has not
 * seen yet; `errorMs2` is the mean squared error.
 */
export type EdgeEstimate = {
  weight: number;
  x: number;
  y: number;
  xx: number;
  xy: number;
  tookMs: number;
  fittedMs: number;
  errorMs2: number;
  at: number;
};

/** What a run at the edge is planned by. `tail`: 95th percentile of the compute part over its mean; `spreadMs`: of everything else. */
export type EdgeSpeed = { slowdown: number; overheadMs: number; spreadMs: number; tail: number };

/**
 * The way to a node and back without queue and compute: mean and mean deviation of small messages, as TCP keeps its
 * RTT (RFC 6298), and what each KiB adds.
 */
export type LinkEstimate = { meanMs: number; deviationMs: number; msPerKiB: number };

/** Of one sample's weight, what is left after the next: the fit rests on the last few hundred runs. */
const FADE = 0.995;
/** Of the recent ratio: about ten runs. */
const RECENT_FADE = 0.9;
/** What the recent ratio says is forgotten at this rate: a slow moment must not keep work away for good. */
const RECENT_LIFE_MS = 5_000;
/**
 * And with time: what was slow is forgotten at this rate whether or not anybody goes there. Otherwise a slow spell rules a
 * machine out, so nobody measures it, so it stays ruled out.
 */
const LIFE_MS = 5_000;
/** A single run moves the spread by at most so many deviations, or one stall would rule out everything tight. */
const MOST_DEVIATIONS = 4;
/** Measured milliseconds a fit must rest on before it is believed: ticks are whole milliseconds, stages take fractions. */
const ENOUGH_MEASURED_MS = 50;
const PRIOR = { slowdown: 1, overheadMs: 1, samples: 20 };
/** The prior fades like samples do, down to this: with runs all alike, slow-down and overhead must still be told apart. */
const LEAST_PRIOR_SAMPLES = 1;
/** The prior slow-down weighs as if learnt from runs of at least this profile: what tiny runs take is nearly all overhead. */
const PRIOR_RUN_MS = 0.5;
/** A run of which nothing came back counts at most as so many times what was expected. */
const MOST_CENSORED = 8;
const SLOWDOWN_RANGE: [number, number] = [0.1, 30];
/** One-sided 95 % of a normal spread. */
export const Z95 = 1.64;

export const NEW_EDGE_ESTIMATE: EdgeEstimate = {
  weight: 0,
  x: 0,
  y: 0,
  xx: 0,
  xy: 0,
  tookMs: 0,
  fittedMs: 0,
  errorMs2: 1,
  at: 0,
};

/** Before the first answer a user's link is assumed to be one across a city, not one across a table; 10 Mbit/s. */
export const NEW_LINK_ESTIMATE: LinkEstimate = { meanMs: 8, deviationMs: 4, msPerKiB: 0.8 };
/**
 * The same of a node's, 40 Mbit/s. Its gateway knows the link and refuses at once what it would make late, so hoping costs
 * little; a node that is thought too far is never tried, and never learnt of.
 */
export const NEW_NODE_LINK: LinkEstimate = { meanMs: 5, deviationMs: 2, msPerKiB: 0.2 };
/** Larger messages tell of bandwidth, smaller ones of distance. */
const SMALL_MESSAGE_BYTES = 4096;
/** What is planned on is the lower quantile of bandwidth, that is a higher cost per KiB. */
const BANDWIDTH_TAIL = 1.5;

/**
 * Adds a measurement: `tookMs` by the caller, `aheadMs` profile work found queued, `profileMs` of the stages that ran. What
 * slows a run down slows the work before it down as well, so both are scaled alike. A measurement of zero says only that
 * the clock did not tick, and is no sample. `censored`: nothing came back within `tookMs`, and what ran before it is not
 * known, so that it says something about the moment and nothing about the slope.
 */
export function observeEdge(
  estimate: EdgeEstimate,
  tookMs: number,
  aheadMs: number,
  profileMs: number,
  now: number,
  censored = false,
): EdgeEstimate {
  if (!(tookMs > 0) || !(profileMs > 0)) return estimate;
  const x = aheadMs + profileMs;
  const old = aged(estimate, now);
  const { slowdown, overheadMs } = fit(old);
  const fittedMs = overheadMs + slowdown * x;
  const recent = {
    tookMs: old.tookMs * RECENT_FADE + (censored ? Math.min(tookMs, MOST_CENSORED * fittedMs) : tookMs),
    fittedMs: old.fittedMs * RECENT_FADE + fittedMs,
    at: now,
  };
  if (censored) return { ...old, ...recent };
  const believed = old.y >= ENOUGH_MEASURED_MS;
  const errorMs2 = Math.min((tookMs - fittedMs) ** 2, MOST_DEVIATIONS ** 2 * old.errorMs2);
  return {
    weight: old.weight * FADE + 1,
    x: old.x * FADE + x,
    y: old.y * FADE + tookMs,
    xx: old.xx * FADE + x * x,
    xy: old.xy * FADE + x * tookMs,
    ...recent,
    errorMs2: believed ? old.errorMs2 + (errorMs2 - old.errorMs2) / 50 : old.errorMs2,
  };
}

/** The estimate as of `now`, without what has been forgotten since its last sample. */
function aged(estimate: EdgeEstimate, now: number): EdgeEstimate {
  const kept = Math.exp(-Math.max(0, now - estimate.at) / LIFE_MS);
  if (kept > 0.999) return estimate;
  const { weight, x, y, xx, xy, errorMs2 } = estimate;
  return {
    ...estimate,
    weight: weight * kept,
    x: x * kept,
    y: y * kept,
    xx: xx * kept,
    xy: xy * kept,
    errorMs2: NEW_EDGE_ESTIMATE.errorMs2 + (errorMs2 - NEW_EDGE_ESTIMATE.errorMs2) * kept,
  };
}

/**
 * Slow-down, overhead and spread of the edge as of `now`. The fit is ridge regression towards the prior, so that two
 * unknowns stay apart when every request ran the same stages; below ENOUGH_MEASURED_MS the prior alone answers. Runs that
 * have lately taken longer than fitted raise the tail at once, and the tail sinks back within RECENT_LIFE_MS.
 */
export function edgeSpeed(estimate: EdgeEstimate, now: number): EdgeSpeed {
  const known = aged(estimate, now);
  const spreadMs = Z95 * Math.sqrt(known.errorMs2);
  const recent = estimate.fittedMs > 0 ? estimate.tookMs / estimate.fittedMs : 1;
  const fresh = Math.exp(-Math.max(0, now - estimate.at) / RECENT_LIFE_MS);
  return { ...fit(known), spreadMs, tail: 1 + Math.max(0, recent - 1) * fresh };
}

function fit(estimate: EdgeEstimate): { slowdown: number; overheadMs: number } {
  if (estimate.y < ENOUGH_MEASURED_MS) return { slowdown: PRIOR.slowdown, overheadMs: PRIOR.overheadMs };
  const spread = Math.max(estimate.xx / estimate.weight, PRIOR_RUN_MS ** 2);
  // What FADE has left of a sample as old as the first is read off the weight, which is a geometric sum.
  const prior = Math.max(LEAST_PRIOR_SAMPLES, PRIOR.samples * (1 - estimate.weight * (1 - FADE)));
  const a = estimate.weight + prior;
  const d = estimate.xx + prior * spread;
  const b = estimate.x;
  const u = estimate.y + prior * PRIOR.overheadMs;
  const v = estimate.xy + prior * spread * PRIOR.slowdown;
  const determinant = a * d - b * b;
  const overheadMs = (u * d - b * v) / determinant;
  const slowdown = (a * v - b * u) / determinant;
  return {
    slowdown: Math.min(SLOWDOWN_RANGE[1], Math.max(SLOWDOWN_RANGE[0], slowdown)),
    overheadMs: Math.max(0, overheadMs),
  };
}

/** Adds one journey to a node and back with `bytes` sent: the caller's time less the agent's own queue and compute time. */
export function observeLink(estimate: LinkEstimate, journeyMs: number, bytes: number): LinkEstimate {
  const sample = Math.max(0, journeyMs);
  if (bytes > SMALL_MESSAGE_BYTES) {
    const perKiB = Math.max(0, sample - estimate.meanMs) / (bytes / 1024);
    return { ...estimate, msPerKiB: estimate.msPerKiB + (perKiB - estimate.msPerKiB) / 8 };
  }
  const error = sample - linkMeanMs(estimate, bytes);
  return {
    ...estimate,
    meanMs: Math.max(0, estimate.meanMs + error / 8),
    deviationMs: estimate.deviationMs + (Math.abs(error) - estimate.deviationMs) / 4,
  };
}

export function linkMeanMs(estimate: LinkEstimate, bytes: number): number {
  return estimate.meanMs + (estimate.msPerKiB * bytes) / 1024;
}

/** The estimate of a node's link last measured `ageMs` ago: what was slow is forgotten with time, as at the edge. */
export function agedLink(estimate: LinkEstimate, ageMs: number): LinkEstimate {
  const kept = Math.exp(-Math.max(0, ageMs) / LIFE_MS);
  const towards = (value: number, prior: number): number => (value <= prior ? value : prior + (value - prior) * kept);
  return {
    meanMs: towards(estimate.meanMs, NEW_NODE_LINK.meanMs),
    deviationMs: towards(estimate.deviationMs, NEW_NODE_LINK.deviationMs),
    msPerKiB: towards(estimate.msPerKiB, NEW_NODE_LINK.msPerKiB),
  };
}

/** The upper estimate that feasibility is decided on. */
export function linkUpperMs(estimate: LinkEstimate, bytes: number): number {
  return estimate.meanMs + 2 * estimate.deviationMs + (BANDWIDTH_TAIL * estimate.msPerKiB * bytes) / 1024;
}
