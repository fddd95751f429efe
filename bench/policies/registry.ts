/**
 * Every policy of the evaluation by name: what it is made of, its parameters as published or as we took them, and the
 * values that tuning may try. A name with `+drop` is the same selector behind EDF with predicted-late drop; one with
 * `+blind` takes the whole deadline for the machines, as a system does that knows of no network.
 */
import { Dystri } from "../simulator/dystri.ts";
import type { InputTable } from "../simulator/inputs.ts";
import { Lens, type LensOptions } from "../simulator/lens.ts";
import type { PolicyOf } from "../simulator/world.ts";
import { clipper, CLIPPER } from "./clipper.ts";
import { deviceOnly } from "./device-only.ts";
import { EDGE_SERVING, edgeServing } from "./edge-serving.ts";
import { gie, GIE } from "./gie.ts";
import { greedy, type GreedyMode } from "./greedy.ts";
import { infaas } from "./infaas.ts";
import { jellyfish, JELLYFISH } from "./jellyfish.ts";
import { MOST_IN_BATCH, type Core } from "./kit/server.ts";
import type { ServingOptions } from "./kit/serving.ts";
import { partition } from "./partition.ts";
import { proteus, PROTEUS, type PlanSolver, type SolverTimes } from "./proteus.ts";
import { randomMix, type Mix } from "./random-mix.ts";
import { slackFit, SLACK_FIT } from "./slack-fit.ts";
import { spinn, SPINN } from "./spinn.ts";
import { BEST, FAST, fixed } from "./static.ts";
import { tokenBucket, TOKENS } from "./token-bucket.ts";

/** What some policies need beside the world. */
export type Context = {
  /** Recorded answers of the validation split. */
  training: ReadonlyMap<string, InputTable>;
  solver: PlanSolver;
  solverTimes: SolverTimes;
  /** What Dystri chose in the same cell and seed. */
  mix: Mix;
};

export type Parameters = Record<string, string | number | boolean>;

export type PolicySpec = {
  name: string;
  kind: "dystri" | "ablation" | "baseline";
  defaults: Parameters;
  /** Values that tuning draws from; what is not named stays. */
  space: Record<string, readonly (string | number | boolean)[]>;
  make: (parameters: Parameters, context: Context) => PolicyOf;
};

const CORES = {
  fifo: { order: "fifo", drop: "none", stepDown: false },
  "fifo-expired": { order: "fifo", drop: "expired", stepDown: false },
  "fifo-predicted": { order: "fifo", drop: "predicted", stepDown: false },
  edf: { order: "edf", drop: "none", stepDown: false },
  "edf-expired": { order: "edf", drop: "expired", stepDown: false },
  "edf-predicted": { order: "edf", drop: "predicted", stepDown: false },
  "edf-step-down": { order: "edf", drop: "predicted", stepDown: true },
} as const satisfies Record<string, Core>;
export type CoreName = keyof typeof CORES;
export const CORE_NAMES = Object.keys(CORES) as CoreName[];

const MACHINES = ["nodes", "all"] as const;
const LIMITS = [1, 4, 8, 16] as const;
const POLICIES: PolicySpec[] = [];

/** A policy whose parameters are `P` and the core it stands on. */
function add<P extends Parameters>(
  name: string,
  core: CoreName,
  defaults: P,
  space: { [K in keyof P]?: readonly P[K][] },
  make: (parameters: P, options: ServingOptions, context: Context) => PolicyOf,
): void {
  POLICIES.push({
    name,
    kind: "baseline",
    defaults: { core, network: "corrected", ...defaults },
    space: space as PolicySpec["space"],
    make: (parameters, context) => {
      const { core: named, network, ...own } = parameters;
      const options = { core: CORES[named as CoreName], network: network as ServingOptions["network"] };
      return make({ ...defaults, ...own }, options, context);
    },
  });
}

/** The same without and with predicted-late drop. */
function both<P extends Parameters>(
  name: string,
  core: CoreName,
  defaults: P,
  space: { [K in keyof P]?: readonly P[K][] },
  make: (parameters: P, options: ServingOptions, context: Context) => PolicyOf,
): void {
  add(name, core, defaults, space, make);
  add(`${name}+drop`, "edf-predicted", defaults, space, make);
}

for (const [suffix, core] of [
  ["", "fifo"],
  ["+expired", "fifo-expired"],
  ["+drop", "fifo-predicted"],
] as const) {
  add(`static-fast${suffix}`, core, FAST, { machines: ["edge", "nodes", "all"], limit: LIMITS }, fixed);
  add(`static-best${suffix}`, core, BEST, { limit: LIMITS }, fixed);
}
add("edf-full", "edf-predicted", BEST, { limit: LIMITS }, fixed);
add("device-only", "edf", {}, {}, () => deviceOnly);
for (const mode of ["aggressive", "conservative", "no-load", "no-slo"] as const) {
  const defaults = { mode: mode as GreedyMode, machines: "nodes" as "nodes" | "all", limit: MOST_IN_BATCH };
  add(`greedy-${mode}`, "edf", defaults, { machines: MACHINES, limit: LIMITS }, greedy);
  if (mode === "aggressive")
    add("greedy+drop", "edf-predicted", defaults, { machines: MACHINES, limit: LIMITS }, greedy);
}
for (const [name, depth] of [
  ["low", 0],
  ["mid", 0.5],
  ["high", 1],
] as const) {
  const space = { machines: MACHINES, executionShare: [0.25, 0.5, 0.75], backoff: [0.8, 0.9, 0.95] };
  add(`clipper-${name}`, "edf-expired", { ...CLIPPER, depth: depth as number }, space, clipper);
}
const slackFitSpace = { machines: MACHINES, buckets: [8, 16, 32], limit: LIMITS };
both("slackfit", "edf", SLACK_FIT, slackFitSpace, slackFit);
const infaasSpace = { floor: [0, 0.8, 0.9, 0.95], limit: LIMITS };
both("infaas", "fifo", { choose: "slowest" as const, floor: 0.9, limit: 8 }, infaasSpace, infaas);
both("infaas-accuracy", "fifo", { choose: "most accurate" as const, floor: 0, limit: 8 }, infaasSpace, infaas);
const partitionSpace = { times: ["meanMs", "upperMs"] as const, limit: LIMITS };
const whole = { rule: "neurosurgeon" as const, times: "meanMs" as "meanMs" | "upperMs", limit: 8 };
both("neurosurgeon", "fifo", whole, partitionSpace, partition);
both("edgent", "fifo", { ...whole, rule: "edgent" as const }, partitionSpace, partition);
both(
  "spinn",
  "fifo",
  { limit: 8, thresholds: "all" as "all" | "high" },
  { limit: LIMITS, thresholds: ["all", "high"] },
  (p, o, c) => {
    const thresholds = p.thresholds === "all" ? SPINN.thresholds : [0.9, 0.95, 0.98, 2];
    return spinn({ limit: p.limit, thresholds }, o, c.training);
  },
);
const tokenSpace = { weakShare: [0.15, 0.25, 0.5], depth: [2, 8, 16], utilisation: [0.7, 0.9, 1.2], limit: LIMITS };
both("token-bucket", "fifo", TOKENS, tokenSpace, tokenBucket);
const gieSpace = { packing: ["pack", "spread"] as const, machines: MACHINES, shed: [true, false], limit: LIMITS };
both("gie", "fifo", GIE, gieSpace, gie);
both("edgeserving", "edf", { machines: "all" as "nodes" | "all" }, { machines: MACHINES }, (p, o) =>
  edgeServing({ ...EDGE_SERVING, ...p }, o),
);
add(
  "jellyfish",
  "edf-predicted",
  JELLYFISH,
  { epochMs: [500, 1000, 2000], lazyMs: [0, 5, 10], limit: [4, 8, 12] },
  jellyfish,
);
const proteusSpace = {
  beta: [1, 1.05, 1.2],
  epochMs: [500, 1000, 2000],
  machines: MACHINES,
  batching: ["last moment", "at once"] as const,
};
add("proteus", "edf-predicted", PROTEUS, proteusSpace, (p, o, c) => proteus(p, o, c.solver, c.solverTimes));
add("random-mix", "edf-predicted", { limit: 16 }, {}, (p, o, c) => randomMix(c.mix, o, p.limit));

export const DYSTRI = "dystri";

function addDystri(name: string, kind: PolicySpec["kind"], hidden: Partial<LensOptions>): void {
  POLICIES.push({ name, kind, defaults: {}, space: {}, make: () => (world) => new Dystri(world, new Lens(hidden)) });
}
addDystri(DYSTRI, "dystri", {});
addDystri("dystri-no-price", "ablation", { price: false });
addDystri("dystri-no-evidence", "ablation", { evidence: false });
addDystri("dystri-no-device", "ablation", { device: false });
addDystri("dystri-no-network", "ablation", { network: false });
addDystri("dystri-no-step-down", "ablation", { stepDown: false });
addDystri("dystri-stale-1s", "ablation", { staleMs: 1000 });
addDystri("dystri-stale-5s", "ablation", { staleMs: 5000 });

export function policies(): readonly PolicySpec[] {
  return POLICIES;
}

/** Throws RangeError, naming what there is, where there is none of that name. `a+blind`: `a` without the network's part. */
export function policyNamed(name: string): PolicySpec {
  const [base = name, suffix] = name.endsWith("+blind") ? [name.slice(0, -"+blind".length), "blind"] : [name];
  const found = POLICIES.find((policy) => policy.name === base);
  if (!found)
    throw new RangeError(`there is no policy ${base}; there are ${POLICIES.map((policy) => policy.name).join(", ")}`);
  return suffix ? { ...found, name, defaults: { ...found.defaults, network: "uncorrected" } } : found;
}
