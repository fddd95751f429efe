/**
 * The price of a machine's time, in accuracy (0–1) per millisecond, moved from the work offered to it: up while more
 * is offered than it should carry, down while less. A dual sub-gradient step per window, with a deadband. Offered
 * work counts whether it was taken or not, or refusing would make the machine look idle.
 *
 * There is no timer: on each event the windows that have passed are applied in closed form. Windows lie on the grid
 * of the caller's clock, so that when the loop is asked changes nothing about what it answers.
 */
import type { Application } from "../protocol/application.ts";
import type { NodeRegistration } from "../protocol/fleet.ts";
import { chain, chainReferenceMs, largestGain, rungAt } from "./ladder.ts";

/** Long enough to hold several requests of a busy machine, short against a person's patience. */
export const PRICE_WINDOW_MS = 100;
/** ρ*: below 1, so that queues drain; 0.85 to 1 differ by less than a point of accuracy. */
export const TARGET_UTILISATION = 0.92;
/** A utilisation this close to the target moves nothing, so that a steady load has a steady price. */
export const DEADBAND = 0.02;
/**
 * η per window in units of one full run. A window holds a dozen heavy jobs, so utilisation is noisy by a quarter; with 0.05
 * that noise alone moved the price past what most inputs gain, and it swung between nothing and too much
 * (`npm run bench:isolation`). Far from 0 the relative
 * step below does the work.
 */
const STEP_PER_RUN = 0.02;
/**
 * And a step in units of the price itself, so that a price far from 0 doubles or halves within a second, whatever it has to
 * reach: what a single input gains spans two orders of magnitude. From 0.5 on it swings.
 */
const RELATIVE_STEP = 0.2;
/** How fast T follows the mix of what is offered: a window's weight. */
const MIX_WEIGHT = 0.2;
/** λ_max over the steepest gain of any ladder: above it no rung is bought any more, and a higher price only takes longer to fall. */
const HEADROOM = 1.25;
/**
 * A step between two rungs counts as at least this share of a mean full run. Less is noise of the profile, or work too
 * small to fill a machine; λ_max would grow without bound, and an overload that has passed would be felt for as long.
 */
const LEAST_STEP = 0.1;
/** What the price of a silent machine is at least taken for, in units of one full run: doubling nothing does nothing. */
const AGEING_FLOOR_PER_RUN = 0.05;
/** A price is believed this long, and doubles with each further span of it. */
const AGEING_MS = 1000;

/** What bounds a price: the mean time of a full run of what is served, and the price above which nothing is bought. */
export type PriceBounds = { fullRunMs: number; maxPrice: number };

/** `gain`: the most that any confidence at the rung before promises; at least the difference of accuracies. */
export type PricedRung = { ms: number; accuracy: number; gain?: number };

/**
 * Bounds from ladders, each sorted by ms. The steepest gain is taken between successive rungs that gain anything; a ladder
 * with one such rung counts from nothing. Without any ladder the price stays 0. It counts what a single input may gain:
 * with what inputs gain on average the price would stop rising while the hardest are still worth more.
 */
export function boundsOf(ladders: readonly PricedRung[][]): PriceBounds {
  const served = ladders.filter((ladder) => (ladder.at(-1)?.ms ?? 0) > 0);
  if (served.length === 0) return { fullRunMs: 1, maxPrice: 0 };
  const fullRunMs = served.reduce((sum, ladder) => sum + (ladder.at(-1)?.ms ?? 0), 0) / served.length;
  let steepest = 0;
  for (const ladder of served) {
    const frontier = ladder.filter((rung, i) => ladder.slice(0, i).every(({ accuracy }) => accuracy < rung.accuracy));
    const steps = frontier.length > 1 ? frontier : [{ ms: 0, accuracy: 0 }, ...frontier];
    steps.slice(1).forEach((rung, i) => {
      const below = steps[i] as PricedRung;
      const stepMs = Math.max(rung.ms - below.ms, LEAST_STEP * fullRunMs);
      steepest = Math.max(steepest, Math.max(rung.accuracy - below.accuracy, rung.gain ?? 0) / stepMs);
    });
  }
  return { fullRunMs, maxPrice: HEADROOM * steepest };
}

/** Bounds of a node's time, by the profiles and qualities it announced. */
export function nodeBounds(registration: NodeRegistration): PriceBounds {
  return boundsOf(
    Object.values(registration.applications).map(({ rungs }) =>
      sorted(Object.values(rungs).map(({ medianMs, quality, gain }) => ({ ms: medianMs, accuracy: quality, gain }))),
    ),
  );
}

/** Bounds of an inference isolate's time, by the reference times of the rungs that run at the edge. */
export function edgeBounds(applications: readonly Application[]): PriceBounds {
  return boundsOf(
    applications.map((application) =>
      sorted(
        application.rungs.flatMap(({ quality }, rung) => {
          const way = chain(application, rung, "input") ?? [];
          if (!way.every((at) => rungAt(application, at).tiers.includes("edge"))) return [];
          const ms = chainReferenceMs(application, way, "edge");
          return [{ ms, accuracy: quality.validation, gain: largestGain(application, rung) }];
        }),
      ),
    ),
  );
}

function sorted(ladder: PricedRung[]): PricedRung[] {
  return ladder.sort((a, b) => a.ms - b.ms || a.accuracy - b.accuracy);
}

/** The price to reckon with when it was heard `ageMs` ago: never lower for being older. */
export function aged(price: number, ageMs: number, { fullRunMs, maxPrice }: PriceBounds): number {
  if (ageMs <= AGEING_MS) return price;
  const doubled = Math.max(price, AGEING_FLOOR_PER_RUN / fullRunMs) * 2 ** Math.floor(ageMs / AGEING_MS);
  return Math.max(price, Math.min(maxPrice, doubled));
}

/**
 * The price of a machine that was last heard `silentMs` ago while it is known that nothing has changed there: it is idle,
 * and an idle machine's price falls. Its own loop does the same and has no occasion to say so.
 */
export function idled(price: number, silentMs: number, { fullRunMs }: PriceBounds): number {
  const windows = Math.floor(Math.max(0, silentMs - AGEING_MS) / PRICE_WINDOW_MS);
  return Math.max(0, stepped(price, -TARGET_UTILISATION, windows, fullRunMs));
}

/** The price after so many windows of the same excess utilisation: each adds (η / T + κ λ) · excess. */
function stepped(price: number, excess: number, windows: number, fullRunMs: number): number {
  if (windows === 0) return price;
  const offset = STEP_PER_RUN / fullRunMs / RELATIVE_STEP;
  return (price + offset) * (1 + RELATIVE_STEP * excess) ** windows - offset;
}

export class PriceLoop {
  #capacity: number;
  #bounds: PriceBounds;
  #price = 0;
  /** Index of the window being filled, on the clock's grid; NaN before the first event. */
  #window = Number.NaN;
  #offeredMs = 0;
  /** T: mean time of a full run of what is offered, and its sum over the window being filled, weighted by work. */
  #fullRunMs: number;
  #fullRunSum = 0;

  /** `capacity`: pieces of work the machine does at a time. */
  constructor(capacity: number, bounds: PriceBounds) {
    this.#capacity = capacity;
    this.#bounds = bounds;
    this.#fullRunMs = bounds.fullRunMs;
  }

  get bounds(): PriceBounds {
    return this.#bounds;
  }

  /** The machine has said anew what it is. The price goes on from where it is, within its new bounds. */
  configure(capacity: number, bounds: PriceBounds): void {
    this.#capacity = capacity;
    this.#bounds = bounds;
    this.#price = Math.min(this.#price, bounds.maxPrice);
  }

  /**
   * A job of `ms` predicted milliseconds of machine time was offered, whether it is taken or not. `fullRunMs`: a full run of
   * its ladder there. The step is in units of what is offered: with that of a mean ladder it would be far too large for
   * a heavy one, and the price would swing.
   */
  offer(ms: number, now: number, fullRunMs: number = this.#bounds.fullRunMs): void {
    this.#advance(now);
    this.#offeredMs += ms;
    this.#fullRunSum += ms * fullRunMs;
  }

  /** 0 ≤ price ≤ maxPrice. */
  price(now: number): number {
    this.#advance(now);
    return this.#price;
  }

  /** Closes the windows that have passed: the one being filled, then the empty ones after it at once. A clock that steps back closes none. */
  #advance(now: number): void {
    const window = Math.floor(now / PRICE_WINDOW_MS);
    if (Number.isNaN(this.#window)) this.#window = window;
    const passed = window - this.#window;
    if (passed < 1) return;
    this.#window = window;
    if (this.#offeredMs > 0) {
      this.#fullRunMs += MIX_WEIGHT * (this.#fullRunSum / this.#offeredMs - this.#fullRunMs);
      this.#fullRunSum = 0;
    }
    this.#step(this.#offeredMs / (this.#capacity * PRICE_WINDOW_MS), 1);
    this.#offeredMs = 0;
    if (passed > 1) this.#step(0, passed - 1);
  }

  #step(utilisation: number, windows: number): void {
    const excess = utilisation - TARGET_UTILISATION;
    if (Math.abs(excess) <= DEADBAND) return;
    const moved = stepped(this.#price, excess, windows, this.#fullRunMs);
    this.#price = Math.min(this.#bounds.maxPrice, Math.max(0, moved));
  }
}
