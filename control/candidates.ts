/** Every way to compute an answer that the machines at hand offer, priced and timed, before any of it is weighed. */
import type { Application, CutSpec } from "../protocol/application.ts";
import type { Option, Wishes } from "../protocol/plan.ts";
import { rungAt, wayMs, type From } from "./ladder.ts";
import type { Machine } from "./machine.ts";
import { travelCode } from "./travel-code.ts";

/**
 * An option with what weighing it takes. `predictedMs` expected and `tailMs` the upper estimate, both from asking for it to
 * holding its answer; `idleMs` the expected time with nothing queued; `machineMs` the time of the machine it uses, `cost`
 * that at the machine's price.
 */
export type Candidate = Option & {
  index: number;
  tailMs: number;
  idleMs: number;
  machineMs: number;
  price: number;
  cost: number;
};

/** Bytes of a cut on the wire, in the code it travels in. */
export function cutBytes(cut: CutSpec): number {
  return cut.bytes[travelCode(cut)];
}

/** The rungs of the ladder on one machine from the input. Where time turns out short, any of them will do. */
export function fromInput(application: Application, machine: Machine, allowed: readonly boolean[]): Candidate[] {
  const found: Candidate[] = [];
  for (let rung = 0; rung < application.rungs.length; rung++) {
    const profileMs = allowed[rung] ? machine.profileMs(rung, "input") : null;
    if (profileMs !== null) {
      found.push(candidate(application, machine, rung, "input", profileMs, application.input.bytes, 0));
    }
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
  const found: Candidate[] = [];
  for (const option of whole) {
    for (const { rung: exit } of home) {
      const { cut } = rungAt(application, exit);
      const profileMs = cut && exit < option.rung ? machine.profileMs(option.rung, exit) : null;
      if (!cut || profileMs === null) continue;
      const resumed = candidate(application, machine, option.rung, exit, profileMs, cutBytes(cut), exit + 1);
      if (resumed.predictedMs < option.predictedMs) found.push(resumed);
    }
  }
  return found;
}

/** Which rungs the wishes leave. */
export function allowedRungs(application: Application, wishes: Wishes): boolean[] {
  return application.rungs.map((_, rung) => rung < (wishes.maxExit ?? application.rungs.length));
}

function candidate(
  application: Application,
  machine: Machine,
  rung: number,
  from: From,
  profileMs: number,
  bytes: number,
  minRung: number,
): Candidate {
  const { slowdown, tail, aheadMs, price } = machine;
  const journey = machine.journeyMs(bytes);
  const machineMs = slowdown * profileMs;
  const busyMs = slowdown * (aheadMs + profileMs);
  return {
    rung,
    minRung,
    at: machine.at,
    from,
    predictedMs: journey.meanMs + busyMs,
    workMs: wayMs(application, machine.at.tier === "node" ? "node" : "edge", rung, from) ?? 0,
    index: -1,
    tailMs: journey.meanMs + busyMs + Math.hypot(journey.tailMs - journey.meanMs, (tail - 1) * busyMs),
    idleMs: journey.meanMs + machineMs,
    machineMs,
    price,
    cost: price * machineMs,
  };
}
