/**
 * The ways of bench/sim/bound-problem as chains: the same work in the same windows, but each piece begins only when the one
 * before it is over and its result has travelled. A bound may forget that; a schedule may not.
 */
import { feasible, type BoundOption, type Resource } from "../bounds/problem.ts";
import { withoutDominated } from "../bounds/dominance.ts";
import type { AccessLink } from "../simulator/access.ts";
import type { World } from "../simulator/world.ts";
import type { WorldProblem } from "../sim/bound-problem.ts";

/** A machine's own clock: an uplink's runs as fast as its bandwidth. */
export type Clock = { own: (realMs: number) => number; real: (ownMs: number) => number };

/** One piece of work, on the machine's own clock; `delayMs` from the end of the piece before it, in real time. */
export type Piece = { resource: number; releaseAt: number; dueAt: number; workMs: number; delayMs: number };

/** `sharedMs`: of its work, what is done on machines of the service. `way`: its number in the problem's list. */
export type Chain = { value: number; pieces: Piece[]; sharedMs: number; way: number };

export type ChainProblem = { clocks: Clock[]; requests: { arrivalAt: number; chains: Chain[] }[] };

const REAL: Clock = { own: (ms) => ms, real: (ms) => ms };

/** Throws RangeError on a machine that does several things at a time: this is for machines that do one after another. */
export function chainsOf(world: World, { problem, requests }: WorldProblem): ChainProblem {
  const links = new Map<string, AccessLink>();
  for (const user of world.workload.users) {
    const { link } = world.side(user);
    if (link) links.set(`uplink ${user.index}`, link);
  }
  const clocks = problem.resources.map(({ name, lanes }: Resource): Clock => {
    if (lanes !== 1) throw new RangeError(`${name} runs ${lanes} pieces of work at a time`);
    const link = links.get(name);
    if (!link) return REAL;
    const { meanRate } = link;
    return { own: (ms) => link.capacity(ms) / meanRate, real: (ms) => link.timeOf(ms * meanRate) };
  });
  const isShared = problem.resources.map(({ name }) => !name.startsWith("device ") && !name.startsWith("uplink "));
  // An option that is worth no more and needs no less of anything is of no use to a schedule either.
  const possible = withoutDominated(feasible(problem), "whole");
  return {
    clocks,
    requests: requests.map(({ atMs }, i) => ({
      arrivalAt: atMs,
      chains: (possible.requests[i]?.options ?? []).map((option) => chainOf(option, clocks, isShared)),
    })),
  };
}

function chainOf(
  { value, uses, way = -1 }: BoundOption,
  clocks: readonly Clock[],
  isShared: readonly boolean[],
): Chain {
  const clock = (resource: number): Clock => clocks[resource] as Clock;
  const begins = ({ resource, releaseAt }: { resource: number; releaseAt: number }): number =>
    clock(resource).real(releaseAt);
  const pieces: Piece[] = [];
  let endsAt = Number.NaN;
  for (const use of [...uses].sort((a, b) => begins(a) - begins(b))) {
    const { resource, releaseAt, dueAt, workMs } = use;
    // Between the earliest end of one piece and the earliest beginning of the next lies nothing but the way.
    const delayMs = pieces.length === 0 ? 0 : Math.max(0, begins(use) - endsAt);
    pieces.push({ resource, releaseAt, dueAt, workMs, delayMs });
    endsAt = clock(resource).real(releaseAt + workMs);
  }
  const sharedMs = uses.reduce((sum, { resource, workMs }) => sum + (isShared[resource] ? workMs : 0), 0);
  return { value, pieces, sharedMs, way };
}
