/** Every way to compute an answer that the machines at hand offer, priced and timed, before any of it is weighed. */
import type { Application } from "../protocol/application.ts";
import type { Option, Wishes } from "../protocol/plan.ts";
import { ladderFigures, onWay, type From, type LadderFigures } from "./ladder.ts";
import type { Machine } from "./machine.ts";

/**
 * An option with what weighing it takes. `predictedMs` expected and `tailMs` the upper estimate, both from asking for it to
 * holding its answer; `idleMs` the expected time with nothing queued; `cost` the machine's time it uses at its price, and what
 * asking it costs.
 */
export type Candidate = Option & {
  index: number;
  tailMs: number;
  idleMs: number;
  price: number;
  cost: number;
  /** What its value is less by: `cost`, and what its arithmetic counts for. */
  charge: number;
};

/**
 * What a full run of the ladder must gain over doing nothing more, in accuracy. Without it a price of zero sends to a node
 * what the edge does equally well, up to .4 points of accuracy under light load (CONTROL §5).
 */
const TIE_BREAK = 1e-3;

/** What the arithmetic from there to the answer of `rung` counts for, in accuracy. */
export function arithmeticCost({ mflops, mostMflops }: LadderFigures, rung: number, from: From): number {
  return (TIE_BREAK / mostMflops) * (onWay(mflops, rung, from) ?? 0);
}

/** Expected and upper time of a message there and back. */
type Journey = ReturnType<Machine["journeyMs"]>;

/** The first `depth` rungs of the ladder on one machine from the input. Where time turns out short, any of them will do. */
export function fromInput(application: Application, machine: Machine, depth: number): Candidate[] {
  const ladder = ladderFigures(application);
  const journey = machine.journeyMs(application.input.bytes);
  const found: Candidate[] = [];
  for (let rung = 0; rung < Math.min(depth, application.rungs.length); rung++) {
    const profileMs = machine.profileMs(rung, "input");
    if (profileMs !== null) found.push(candidate(ladder, machine, rung, "input", profileMs, journey));
  }
  return found;
}

/**
 * The rungs of the ladder on one machine from the cuts that `home` leaves, where a cut gets there sooner than the input
 * would: on a fast machine repeating the early stages is often quicker than sending what they leave.
 */
export function fromCuts(
  application: Application,
  machine: Machine,
  whole: readonly Candidate[],
  home: readonly Candidate[],
): Candidate[] {
  const ladder = ladderFigures(application);
  const journeys: Journey[] = [];
  const found: Candidate[] = [];
  for (const option of whole) {
    for (const { rung: exit } of home) {
      const bytes = exit < option.rung ? (ladder.cutBytes[exit] ?? null) : null;
      const profileMs = bytes === null ? null : machine.profileMs(option.rung, exit);
      if (bytes === null || profileMs === null) continue;
      const journey = (journeys[exit] ??= machine.journeyMs(bytes));
      if (expectedMs(machine, profileMs, journey) >= option.predictedMs) continue;
      found.push(candidate(ladder, machine, option.rung, exit, profileMs, journey));
    }
  }
  return found;
}

/** How deep the wishes let a plan go: the number of rungs, from the first. */
export function allowedDepth(application: Application, { maxExit }: Wishes): number {
  return maxExit ?? application.rungs.length;
}

function expectedMs({ slowdown, aheadMs }: Machine, profileMs: number, journey: Journey): number {
  return journey.meanMs + slowdown * (aheadMs + profileMs);
}

function candidate(
  ladder: LadderFigures,
  machine: Machine,
  rung: number,
  from: From,
  profileMs: number,
  journey: Journey,
): Candidate {
  const { slowdown, tail, aheadMs, price, askingCost } = machine;
  const machineMs = slowdown * profileMs;
  const busyMs = slowdown * (aheadMs + profileMs);
  const predictedMs = expectedMs(machine, profileMs, journey);
  const cost = price * machineMs + askingCost;
  return {
    rung,
    minRung: from === "input" ? 0 : from + 1,
    at: machine.at,
    from,
    predictedMs,
    workMs: onWay(machine.at.tier === "node" ? ladder.nodeMs : ladder.edgeMs, rung, from) ?? 0,
    index: -1,
    tailMs: predictedMs + Math.hypot(journey.tailMs - journey.meanMs, (tail - 1) * busyMs),
    idleMs: journey.meanMs + machineMs,
    price,
    cost,
    charge: cost + arithmeticCost(ladder, rung, from),
  };
}
