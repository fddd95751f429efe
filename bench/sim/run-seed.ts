/** One cell and seed: the same offered requests to every policy, and the bounds over them. */
import { fractionalBound } from "../bounds/fractional.ts";
import { Expectation } from "../bounds/information.ts";
import type { Solver } from "../bounds/solver.ts";
import { DYSTRI, policyNamed, type Context, type Parameters } from "../policies/registry.ts";
import type { Mix } from "../policies/random-mix.ts";
import type { SolverTimes } from "../policies/proteus.ts";
import { ON_DEVICE, type Records } from "../simulator/records.ts";
import { describeArrivals, type Offered } from "../simulator/workload.ts";
import { World } from "../simulator/world.ts";
import { problemOf } from "./bound-problem.ts";
import { figuresOf, type Figures } from "./figures.ts";
import { settingOf, type Cell, type Service, type Setting, type Variation } from "./setting.ts";

export type Task = {
  cell: Cell;
  variation: Variation;
  seed: number;
  /** That count, after the warm-up. */
  requests: number;
  warmUpMs: number;
  /** `name` of a row; `of` names the policy. */
  policies: { name: string; of: string; parameters: Parameters }[];
  bounds: ("clairvoyant" | "information")[];
  /** Of them the bounds are made. */
  boundRequests: number;
};

export type Bound = { value: number; requests: number; seconds: number; rows: number; columns: number; status: string };

export type SeedResult = {
  seed: number;
  arrivals: { perS: number; cv: number; idc: number; peak: number };
  bounds: { clairvoyant?: Bound; information?: Bound };
  policies: Record<string, Figures>;
  /** Of the requests that a bound is of, where they are fewer than all: right and expected of each policy. */
  bounded: Record<string, { right: number; expected: number | null }>;
};

/** What every task of a thread shares. */
export type Bench = {
  service: Service;
  training: Service;
  solver: Solver;
  solverTimes: SolverTimes;
  expectations: Map<string, Expectation>;
};

export function runSeed(bench: Bench, task: Task): SeedResult {
  const setting = settingOf(bench.service, task.cell, task.seed, task.requests, task.warmUpMs, task.variation);
  const wantsInformation = task.bounds.includes("information");
  const expectation = wantsInformation ? expectationOf(bench) : null;
  const { requests, untilMs } = setting.world.workload;
  const context: Context = { ...bench, training: bench.training.inputs, mix: new Map() };
  const inBound = firstMeasured(setting, task.boundRequests);
  const result: SeedResult = {
    seed: task.seed,
    arrivals: describeArrivals(
      requests.map(({ atMs }) => atMs),
      untilMs,
    ),
    bounds: boundsOf(bench, task, setting, inBound, expectation),
    policies: {},
    bounded: {},
  };
  // What Dystri chose is what the random mix draws from.
  const ordered = [...task.policies].sort((a, b) => Number(b.of === DYSTRI) - Number(a.of === DYSTRI));
  for (const { name, of, parameters } of ordered) {
    const world = new World(setting.world);
    const spec = policyNamed(of);
    const before = process.threadCpuUsage();
    const records = world.run(spec.make({ ...spec.defaults, ...parameters }, context));
    const spent = process.threadCpuUsage(before);
    if (of === DYSTRI) context.mix = mixOf(records, setting);
    result.policies[name] = figuresOf(
      world,
      records,
      setting.measured,
      expectation,
      (spent.user + spent.system) / 1000,
    );
    if (task.bounds.length > 0) {
      const { right, expected } = figuresOf(world, records, inBound, expectation, 0);
      result.bounded[name] = { right, expected };
    }
  }
  return result;
}

function boundsOf(
  { solver }: Bench,
  { bounds }: Task,
  setting: Setting,
  inBound: (request: Offered) => boolean,
  expectation: ((request: Offered, rung: number) => number) | null,
): SeedResult["bounds"] {
  const found: SeedResult["bounds"] = {};
  const world = new World(setting.world);
  for (const kind of bounds) {
    const truth = (request: Offered, rung: number): number =>
      Number(world.inputsOf(request.user.application).right(request.input, rung));
    const { problem } = problemOf(world, inBound, kind === "clairvoyant" ? truth : (expectation ?? truth));
    const { value, requests, seconds, rows, columns, status } = fractionalBound(solver, problem);
    found[kind] = { value, requests, seconds, rows, columns, status };
  }
  return found;
}

/** P(right at a rung | confidences of all rungs), fitted to the validation split; fitted once per thread. */
function expectationOf({ service, training, expectations }: Bench): (request: Offered, rung: number) => number {
  for (const application of service.applications) {
    const table = training.inputs.get(application.name);
    if (!expectations.has(application.name) && table) {
      const bins = application.rungs.map(({ evidence }) => evidence.length);
      expectations.set(application.name, new Expectation(table, bins));
    }
  }
  return ({ user, input }, rung) => {
    const { name } = user.application;
    const [expectation, table] = [expectations.get(name), service.inputs.get(name)];
    if (!expectation || !table) throw new RangeError(`nothing is known of ${name}`);
    return expectation.rightOf(table, input, rung);
  };
}

/** The first `count` of the requests that count. */
function firstMeasured({ world, measured }: Setting, count: number): (request: Offered) => boolean {
  const first = world.workload.requests.findIndex(measured);
  return ({ id }) => id >= first && id < first + count;
}

function mixOf(records: Records, { world, measured }: Setting): Mix {
  const mix: Mix = new Map();
  for (const request of world.workload.requests) {
    const outcome = records.outcome(request);
    if (!measured(request) || !outcome || outcome.rung < 0) continue;
    const { application, device } = request.user;
    const kinds = mix.get(application) ?? new Map();
    mix.set(application, kinds);
    const choices = kinds.get(device !== undefined) ?? [];
    kinds.set(device !== undefined, choices);
    const tier = outcome.node === ON_DEVICE ? "device" : outcome.node >= 0 ? "node" : "edge";
    const known = choices.find((one: { tier: string; rung: number }) => one.tier === tier && one.rung === outcome.rung);
    if (known) known.count++;
    else choices.push({ tier, rung: outcome.rung, count: 1 });
  }
  return mix;
}
