/**
 * The machines, users and requests of one cell of the grid. The committed networks answer in a fraction of a millisecond,
 * which no deadline of a person strains; so each ladder is taken as if it were a larger one of the same shape: its
 * times are multiplied until its last rung takes FULL_RUN_MS on a node, and what travels is as large as INPUT_BYTES says.
 * Ratios between rungs, tiers and cuts, confidences and truths stay what was measured. What the machines are like is
 * said here and nowhere else; `npm run bench:sim` prints it.
 */
import { chain, chainReferenceMs, rungAt } from "../../control/ladder.ts";
import type { Application } from "../../protocol/application.ts";
import type { SplitName } from "../lib/replay.ts";
import { LTE, WIFI, type AccessSpec } from "../simulator/access.ts";
import type { Fault } from "../simulator/faults.ts";
import type { InputTable } from "../simulator/inputs.ts";
import { Random } from "../simulator/random.ts";
import { replayInputs } from "../simulator/replay-inputs.ts";
import { CALL, FAR, loadApplications, OBJECT, TOWN } from "../simulator/scenario.ts";
import { makeWorkload, zipfShares, type Arrivals, type Offered, type User } from "../simulator/workload.ts";
import type { NodeSpec, Plant, WorldOptions } from "../simulator/world.ts";

/** Of a ladder's last rung alone on a node of pace 1. */
export const FULL_RUN_MS = 20;
const INPUT_BYTES = { image: 12_288, "log-mel": 16_384, bytes: 2048, tokens: 2048, table: 1024 };
/** Two nodes, one quicker than the other; batching saves 40 % of each further job. */
const NODE_PACES = [0.8, 1.25];
const MARGINAL = 0.6;
/** One isolate for each platform, slower than its profile by what nobody is told. */
const EDGE_SLOWDOWN = 1.3;
const SIGMA = 0.1;
/** What the deepest rung that runs on a device takes there; null: a thin client. */
const DEVICE_FULL_MS = [60, 150, 400, null];

/** Bursts: 3 times the mean rate for a quarter of the time, a third of it in between, all users alike. */
const BURST = { factors: [1 / 3, 3], meanStayMs: [1500, 500] } as const;

const MINUTES_A_DAY = 1440;

export const WORKLOADS = ["poisson", "mmpp2", "gamma2", "gamma4", "gamma8", "ramp", "azure"] as const;
export type WorkloadName = (typeof WORKLOADS)[number];

export type Cell = { workload: WorkloadName; users: number; load: number; deadlineMs: number };

/** What an axis of the grid changes. */
export type Variation = {
  name: string;
  /** Device classes in place of the usual mix; null: all thin. */
  devices?: readonly (number | null)[];
  /** Uplinks collapse now and then. */
  collapse?: boolean;
  /** User 1 sends so many times as much as a fair share. */
  greedy?: number;
  /** Users' shares by Zipf's law. */
  zipf?: number;
  /** Users' deadlines, in turn. */
  deadlinesMs?: readonly number[];
  faults?: readonly Fault[];
  /** Of the workload `azure`: calls per minute of each user. */
  trace?: { perMinute: readonly (readonly number[])[]; speedUp: number };
};

export type Setting = {
  world: WorldOptions;
  /** Requests that count: after the warm-up. */
  measured: (request: Offered) => boolean;
};

/** Everything settles: the first exchange, links, prices, queues. */
export const WARM_UP_MS = 5000;

export type Service = { applications: Application[]; inputs: ReadonlyMap<string, InputTable> };

/** The applications as this bench takes them, and their recorded answers. */
export async function loadService(split: SplitName): Promise<Service> {
  const applications = loadApplications().map(enlarged);
  const inputs = await Promise.all(applications.map((application) => replayInputs(application, split)));
  return { applications, inputs: new Map(inputs.map((table) => [table.application.name, table])) };
}

/** What the machines and users are like, for whoever reads results. */
export function describeSetting(): string {
  return [
    `Ladders enlarged until the last rung takes ${FULL_RUN_MS} ms on a node of pace 1; inputs of ${Object.entries(
      INPUT_BYTES,
    )
      .map(([kind, bytes]) => `${bytes / 1024} KiB (${kind})`)
      .join(", ")}.`,
    `${NODE_PACES.length} nodes of pace ${NODE_PACES.join(" and ")}, one job or batch at a time, each further job of a batch ${100 * MARGINAL} % of one alone; ` +
      `one isolate per platform, ${EDGE_SLOWDOWN} times its profile; every stage × lognormal(${SIGMA}).`,
    `Devices: ${DEVICE_FULL_MS.map((ms) => (ms === null ? "none" : `${ms} ms`)).join(", ")} for the deepest rung they run, in turn; half on LTE, half on WiFi.`,
    `Load 1 is ${fullPerS().toFixed(1)} requests/s, what the nodes answer with the full model one at a time. Late answers count as wrong.`,
  ].join("\n");
}

/** Requests a second that the nodes answer with the full model, one at a time. */
export function fullPerS(): number {
  return NODE_PACES.reduce((sum, pace) => sum + 1000 / (FULL_RUN_MS * pace), 0);
}

export function plant(): Plant {
  const nodes = NODE_PACES.map((pace, i): NodeSpec => {
    return { name: `node-${i + 1}`, cores: 1, pace, marginal: MARGINAL, link: TOWN };
  });
  return {
    edge: { isolates: 1, slowdown: EDGE_SLOWDOWN, call: CALL },
    nodes,
    object: OBJECT,
    coordinator: FAR,
    sigma: SIGMA,
  };
}

/** `requests` that count come after the warm-up; whatever the policy, the same seed offers the same. */
export function settingOf(
  { applications, inputs }: Service,
  cell: Cell,
  seed: number,
  requests: number,
  warmUpMs = WARM_UP_MS,
  variation: Variation = { name: "" },
): Setting {
  const perS = cell.load * fullPerS();
  const shares = zipfShares(cell.users, variation.zipf ?? 0);
  // Enough for the slowest of three draws; what comes after the last request that counts is cut off.
  const horizonMs = warmUpMs + (3 * 1000 * requests) / perS + 10_000;
  const states = burstSteps(seed, horizonMs);
  const traced = variation.trace ? tracedArrivals(variation.trace, perS, horizonMs) : null;
  const users = shares.map((share, index): User => {
    const rate = share * perS * (index === 0 ? (variation.greedy ?? 1) : 1);
    const application = applications[index % applications.length] as Application;
    const pace = devicePace(
      application,
      (variation.devices ?? DEVICE_FULL_MS)[index % (variation.devices?.length ?? 4)],
    );
    const deadlines = variation.deadlinesMs ?? [cell.deadlineMs];
    return {
      index,
      name: `user-${index + 1}`,
      application,
      arrivals: traced?.[index] ?? arrivalsOf(cell.workload, rate, states, horizonMs),
      deadlineMs: deadlines[index % deadlines.length] as number,
      weight: 1,
      access: accessOf(index, variation.collapse ?? false),
      ...(pace === null ? {} : { device: { pace } }),
    };
  });
  const offered = makeWorkload(users, seed, horizonMs, ({ name }) => inputs.get(name)?.rows ?? 0);
  const warm = offered.requests.findIndex(({ atMs }) => atMs >= warmUpMs);
  const cut = offered.requests.slice(0, warm + requests);
  if (warm < 0 || cut.length < warm + requests) throw new RangeError(`fewer than ${requests} requests were drawn`);
  const workload = { users, requests: cut, untilMs: cut.at(-1)?.atMs ?? 0 };
  return {
    world: {
      seed,
      plant: plant(),
      workload,
      inputs,
      applications,
      ...(variation.faults ? { faults: variation.faults } : {}),
    },
    measured: ({ id }) => id >= warm,
  };
}

/** The same ladder with times and sizes multiplied. */
function enlarged(application: Application): Application {
  const last = application.rungs.length - 1;
  const times = FULL_RUN_MS / chainReferenceMs(application, chain(application, last, "input") ?? [], "node");
  const bytes = INPUT_BYTES[application.input.preprocessing.kind];
  const sizes = bytes / application.input.bytes;
  return {
    ...application,
    input: { ...application.input, bytes },
    rungs: application.rungs.map((rung) => ({
      ...rung,
      referenceMs: { edge: times * rung.referenceMs.edge, node: times * rung.referenceMs.node },
      ...(rung.cut
        ? {
            cut: {
              ...rung.cut,
              bytes: { f32: sizes * rung.cut.bytes.f32, u8: sizes * rung.cut.bytes.u8, u4: sizes * rung.cut.bytes.u4 },
            },
          }
        : {}),
    })),
  };
}

/** Device milliseconds per reference millisecond; null for a thin client. */
function devicePace(application: Application, fullMs: number | null | undefined): number | null {
  if (fullMs === null || fullMs === undefined) return null;
  const deepest = application.rungs.findLastIndex((_, rung) =>
    (chain(application, rung, "input") ?? []).every((at) => rungAt(application, at).tiers.includes("device")),
  );
  return fullMs / chainReferenceMs(application, chain(application, deepest, "input") ?? [], "edge");
}

/** Half of the users on LTE, half on WiFi, whatever their device. */
function accessOf(index: number, collapse: boolean): AccessSpec {
  const link = (index + Math.floor(index / DEVICE_FULL_MS.length)) % 2 === 0 ? LTE : WIFI;
  return collapse ? { ...link, collapse: { share: 0.15, meanGoodMs: 6000, meanBadMs: 1500 } } : link;
}

function arrivalsOf(
  workload: WorkloadName,
  rate: number,
  states: readonly { fromMs: number; factor: number }[],
  untilMs: number,
): Arrivals {
  switch (workload) {
    case "azure":
      throw new RangeError("the workload azure needs a trace");
    case "poisson":
      return { kind: "poisson", rate };
    case "mmpp2":
      // A modulation common to all is two-state MMPP for the service, and Poisson with its steps for each user.
      return { kind: "steps", steps: states.map(({ fromMs, factor }) => ({ fromMs, rate: rate * factor })) };
    case "gamma2":
    case "gamma4":
    case "gamma8":
      return { kind: "gamma", rate, cv2: Number(workload.slice("gamma".length)) };
    case "ramp": {
      // Up from a third to three times and down again, in steps.
      const steps = Array.from({ length: 24 }, (_, i) => 1 / 3 + (3 - 1 / 3) * (1 - Math.abs(i / 11.5 - 1)));
      const mean = steps.reduce((a, b) => a + b, 0) / steps.length;
      return { kind: "steps", steps: steps.map((f, i) => ({ fromMs: (i * untilMs) / 24, rate: (rate * f) / mean })) };
    }
  }
}

/** The trace's first minutes, as many as the horizon has, made as dense as the load says. Throws RangeError where they are empty. */
function tracedArrivals(
  { perMinute, speedUp }: NonNullable<Variation["trace"]>,
  perS: number,
  horizonMs: number,
): Arrivals[] {
  const minutes = Math.min(MINUTES_A_DAY, (horizonMs * speedUp) / 60_000);
  const used = perMinute.map((own) => own.slice(0, Math.ceil(minutes)));
  const calls = used.flat().reduce((sum, count) => sum + count, 0);
  if (calls === 0) throw new RangeError(`the functions chosen have no call in the first ${Math.ceil(minutes)} minutes`);
  const scale = (perS * ((Math.ceil(minutes) * 60) / speedUp)) / calls;
  return used.map((own) => ({ kind: "minutes", perMinute: own, speedUp, scale }));
}

/** The states that all users share, drawn from a stream of their own. */
function burstSteps(seed: number, untilMs: number): { fromMs: number; factor: number }[] {
  const random = new Random(seed, "arrivals bursts");
  const [calm, busy] = BURST.meanStayMs;
  let state: 0 | 1 = random.uniform() < calm / (calm + busy) ? 0 : 1;
  const steps: { fromMs: number; factor: number }[] = [];
  for (let fromMs = 0; fromMs < untilMs; fromMs += random.exponential(BURST.meanStayMs[state === 0 ? 1 : 0])) {
    steps.push({ fromMs, factor: BURST.factors[state] });
    state = state === 0 ? 1 : 0;
  }
  return steps;
}
