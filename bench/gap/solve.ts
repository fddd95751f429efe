/**
 * What lies between the information bound and Dystri in a cell: the same requests served by ever less knowledge. From the
 * bound to a schedule that machines can keep; from there to placing each request as it arrives; then without knowing
 * beforehand how sure the exits will be; then Dystri itself where nothing varies, and as it is.
 *
 * The scheduled figures know every journey and computation to the microsecond and pay no journey for a decision; they batch
 * nothing, so where nodes batch much Dystri may be above them. All are scored alike, by P(right | all confidences).
 */
import { fractionalBound } from "../bounds/fractional.ts";
import { Expectation } from "../bounds/information.ts";
import type { Solver } from "../bounds/solver.ts";
import type { CellTask } from "../kept/solve-cells.ts";
import { DYSTRI, policyNamed } from "../policies/registry.ts";
import { BatchSizes } from "../sim/batch-sizes.ts";
import { problemOf, type WorldProblem } from "../sim/bound-problem.ts";
import { figuresOf } from "../sim/figures.ts";
import { settingOf, type Service } from "../sim/setting.ts";
import type { LinkSpec } from "../simulator/link.ts";
import type { Offered } from "../simulator/workload.ts";
import { World, type WorldOptions } from "../simulator/world.ts";
import { chainsOf } from "./chains.ts";
import type { Gap, Reached } from "./results.ts";
import { placeAsTheyArrive, search, type Schedule } from "./search.ts";

export type GapBench = { service: Service; training: Service; solver: Solver };

/** P(right at a rung | confidences of all rungs), fitted to the training split. */
export function expectationsOf({ service, training }: Omit<GapBench, "solver">): (r: Offered, rung: number) => number {
  const fitted = new Map<string, Expectation>();
  return ({ user, input }, rung) => {
    const { name, rungs } = user.application;
    const [table, recorded] = [service.inputs.get(name), training.inputs.get(name)];
    if (!table || !recorded) throw new RangeError(`nothing is known of ${name}`);
    let expectation = fitted.get(name);
    if (!expectation) {
      expectation = new Expectation(
        recorded,
        rungs.map(({ evidence }) => evidence.length),
      );
      fitted.set(name, expectation);
    }
    return expectation.rightOf(table, input, rung);
  };
}

/** Blocks the thread. */
export function solveGap(
  { service, training, solver }: GapBench,
  expectation: (request: Offered, rung: number) => number,
  { plan, seed }: CellTask,
): Gap {
  const startedAt = performance.now();
  const { cell, variation, requests: offered, warmUpMs, bounds } = plan;
  const { world: options, measured } = settingOf(service, cell, seed, offered, warmUpMs, variation);
  const first = options.workload.requests.findIndex(measured);
  const counts = ({ id }: Offered): boolean => id >= first && id < first + bounds.requests;
  const world = new World(options);
  const average = ({ user }: Offered, rung: number): number => user.application.rungs[rung]?.quality.validation ?? 0;

  const known = problemOf(world, counts, expectation, new BatchSizes());
  const unknown = problemOf(world, counts, average, new BatchSizes());
  const reached = ({ ways, requests }: WorldProblem, { placed }: Schedule): Reached => {
    const rungs = placed.map((one, i) => (one ? ways[i]?.[one.chain.way]?.rung : undefined));
    const right = rungs.reduce<number>((sum, rung, i) => {
      return sum + (rung === undefined ? 0 : expectation(requests[i] as Offered, rung));
    }, 0);
    return { onTime: rungs.filter((rung) => rung !== undefined).length, right };
  };
  const dystri = (of: WorldOptions): Reached => {
    const { make, defaults } = policyNamed(DYSTRI);
    const own = new World(of);
    const records = own.run(
      make(defaults, { training: training.inputs, mix: new Map(), solver, solverTimes: { byColumns: [] } }),
    );
    const figures = figuresOf(own, records, counts, expectation, 0);
    return { onTime: figures.counts.onTime, right: figures.expected ?? 0 };
  };
  const chains = chainsOf(world, known);
  return {
    requests: known.requests.length,
    bound: fractionalBound(solver, problemOf(world, counts, expectation).problem).value,
    foresight: reached(known, search(chains, seed)),
    arriving: reached(known, placeAsTheyArrive(chains)),
    unseen: reached(unknown, placeAsTheyArrive(chainsOf(world, unknown))),
    steady: dystri(steadied(options)),
    dystri: dystri(options),
    seconds: (performance.now() - startedAt) / 1000,
  };
}

/** The same requests where nothing takes longer than usual and no object is away. */
function steadied(options: WorldOptions): WorldOptions {
  const { plant, workload } = options;
  const calm = (link: LinkSpec): LinkSpec => ({ ...link, jitter: 0 });
  const steadiedUsers = new Map(
    workload.users.map((user) => {
      const { access } = user;
      if (!access) return [user, user];
      // The mean of what it was, so that as much can be sent.
      const logMean = access.logMean + access.logDeviation ** 2 / 2;
      return [user, { ...user, access: { ...access, logMean, jitter: 0, logDeviation: 0 } }];
    }),
  );
  return {
    ...options,
    plant: {
      ...plant,
      sigma: 0,
      edge: { ...plant.edge, call: calm(plant.edge.call) },
      nodes: plant.nodes.map((node) => ({ ...node, link: calm(node.link) })),
      object: { ...plant.object, rttMs: 0, jitter: 0 },
    },
    workload: {
      ...workload,
      users: [...steadiedUsers.values()],
      requests: workload.requests.map((request) => ({
        ...request,
        user: steadiedUsers.get(request.user) ?? request.user,
      })),
    },
  };
}
