/** One cell looked at request by request: what the results files do not hold. Run anew by the report, from the seed. */
import { Solver } from "../bounds/solver.ts";
import { loadSolverTimes } from "../policies/proteus.ts";
import { policyNamed, type Context } from "../policies/registry.ts";
import { loadService, settingOf, type Cell } from "../sim/setting.ts";
import { ON_DEVICE, type Records } from "../simulator/records.ts";
import type { Offered } from "../simulator/workload.ts";
import { World } from "../simulator/world.ts";

export const SCENE_CELL: Cell = { workload: "mmpp2", users: 32, load: 2.5, deadlineMs: 100 };
export const SCENE_REQUESTS = 6000;
const SEED = 1;

export type GridScene = { requests: Offered[]; records: Map<string, Records> };

/** The same requests to each of the policies. */
export async function runGridScene(policies: readonly string[]): Promise<GridScene> {
  const [service, training] = await Promise.all([loadService("test"), loadService("validation")]);
  const context: Context = {
    training: training.inputs,
    solver: await Solver.load(),
    solverTimes: loadSolverTimes(),
    mix: new Map(),
  };
  const setting = settingOf(service, SCENE_CELL, SEED, SCENE_REQUESTS);
  const records = policies.map((name) => {
    const spec = policyNamed(name);
    return [name, new World(setting.world).run(spec.make(spec.defaults, context))] as const;
  });
  return { requests: setting.world.workload.requests.filter(setting.measured), records: new Map(records) };
}

export type Place = "device" | "edge" | "node" | "missed";
export type Depth = "first rung" | "between" | "last rung" | "missed";

/** Where a request was answered and how deep; missed: not on time. */
export function answerOf(request: Offered, records: Records): { place: Place; depth: Depth } {
  const outcome = records.outcome(request);
  if (!outcome || outcome.rung < 0 || outcome.status !== "onTime") return { place: "missed", depth: "missed" };
  const last = request.user.application.rungs.length - 1;
  return {
    place: outcome.node === ON_DEVICE ? "device" : outcome.node >= 0 ? "node" : "edge",
    depth: outcome.rung === last ? "last rung" : outcome.rung === 0 ? "first rung" : "between",
  };
}

/** The start of the window of `lengthMs` that has a burst most plainly in its middle: most in it, least around it. */
export function burstFromMs(requests: readonly Offered[], lengthMs: number): number {
  const [first, last] = [requests[0]?.atMs ?? 0, requests.at(-1)?.atMs ?? 0];
  const third = lengthMs / 3;
  const within = (fromMs: number, untilMs: number): number =>
    requests.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs).length;
  let best = { fromMs: first, contrast: Number.NEGATIVE_INFINITY };
  for (let fromMs = first; fromMs + lengthMs <= last; fromMs += third / 4) {
    const inside = within(fromMs + third, fromMs + 2 * third);
    const contrast = 2 * inside - within(fromMs, fromMs + lengthMs) + inside;
    if (contrast > best.contrast) best = { fromMs, contrast };
  }
  return best.fromMs;
}
