/**
 * `npm run bench:live`: the policies that wishes can make, on the running service: workerd, the committed networks of all
 * platforms, real node agents, open-loop load from loopback. Then the simulator on the same traces, and how far it is off.
 * bench/README.md says what is printed.
 *
 *     npm run bench:live                    everything within 90 s          --json    one object and nothing else
 *     … --seconds 300  --loads 0.3,1,1.5  --workloads poisson,mmpp2  --policies dystri,greedy
 *     … --deadline 100  --users 7  --nodes 2  --pace 4  --seed 1  --rate 180: requests/s of load 1, instead of what is measured
 */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { runCommand, UsageError } from "./command-line/options.ts";
import { withCluster } from "./lib/bench-cluster.ts";
import { describeMachine } from "./lib/machine.ts";
import { loadApplications } from "./simulator/scenario.ts";
import { describeArrivals } from "./simulator/workload.ts";
import { calibrate, type Calibration, type Settle } from "./live/calibrate.ts";
import { errorOf, figuresOf } from "./live/comparison.ts";
import { offer, type Offering } from "./live/open-loop.ts";
import { readOptions, type Options } from "./live/options.ts";
import type { NodeRow } from "./live/plant.ts";
import { DYSTRI, STATIC_FAST, type LivePolicy } from "./live/policies.ts";
import { report, type Result, type Row } from "./live/report.ts";
import { loadSamples, type Samples } from "./live/samples.ts";
import { Service } from "./live/service.ts";
import { simulate } from "./live/simulate.ts";
import { makeTrace, usersOf, type Shape, type Trace, type TraceOptions } from "./live/trace.ts";
import type { LocalCluster } from "../scripts/local-cluster.ts";
import { ROOT } from "../scripts/workers.ts";

const RESULT = path.join(ROOT, ".dystri", "bench", "live.json");
/** Kept back of `--seconds` for ending everything and for the simulator. */
const TAIL_MS = 8000;
/** Calibration's closed loops, as a share of the whole. */
const BUSY_SHARE = 0.08;
const LEAST_RUN_MS = 1500;
/** Bundling, loading the models and enrolling nodes take about so long. */
const START_MS = 25_000;
/** Offered before anything is measured. */
const FIRST = { perS: 50, untilMs: 2000 };
/** Of each run: offered, not counted. */
const LEAD_SHARE = 0.2;
/** Before each run, not counted: a light load at the edge, so that controllers forget the times of the run before. */
const SETTLE = { load: 0.3, ms: 600, seed: 1_000_007 };
/** Before the simulated runs: as live, where the service has been running for a while. */
const WARM_UP = { load: 0.3, ms: 3000, seed: 1_000_003 };

/** One policy on one trace, live. */
type LiveRun = { shape: Shape; load: number; policy: LivePolicy; trace: Trace; offering: Offering };

type Measurement = { nodes: NodeRow[]; calibration: Calibration; warmUp: Trace; runs: LiveRun[]; leftOut: string[] };

await runCommand("bench:live", (args) => main(readOptions(args)));

async function main(options: Options): Promise<void> {
  const endsAt = performance.now() + 1000 * options.seconds;
  checkTime(options);
  const machine = describeMachine();
  const say = (line: string): void => {
    if (!options.json) console.log(line);
  };
  say(machine);
  const loaded = await Promise.all(platformsInTurn(loadApplications()).map(loadSamples));
  const samples = new Map(loaded.map((one) => [one.application.name, one]));
  const measured = await withCluster(
    { nodes: options.nodes, nodeOptions: ["--pace", String(options.pace)] },
    (cluster) => measure(cluster, options, samples, endsAt, say),
  );
  const { policies, ...rest } = options;
  const result: Result = {
    machine,
    options: { ...rest, policies: policies.map(({ name }) => name) },
    calibration: measured.calibration,
    leftOut: measured.leftOut,
    cells: measured.runs.map((run) => rowOf(run, measured, samples, options.seed)),
  };
  await mkdir(path.dirname(RESULT), { recursive: true });
  await writeFile(RESULT, `${JSON.stringify(result, null, 1)}\n`);
  if (options.json) console.log(JSON.stringify(result));
  else report(result);
}

/** Throws UsageError before anything is started when the runs would be too short to say anything. */
function checkTime({ seconds, policies, shapes, loads }: Options): void {
  const runs = policies.length * shapes.length * loads.length;
  const neededMs = START_MS + TAIL_MS + 1000 * BUSY_SHARE * seconds + runs * (LEAST_RUN_MS + SETTLE.ms);
  if (neededMs <= 1000 * seconds) return;
  throw new UsageError(
    `${runs} runs do not fit into ${seconds} s: more --seconds, or fewer --policies, --workloads or --loads`,
  );
}

async function measure(
  cluster: LocalCluster,
  { policies, shapes, loads, ratePerS, deadlineMs, seed, seconds, users: count }: Options,
  samples: ReadonlyMap<string, Samples>,
  endsAt: number,
  say: (line: string) => void,
): Promise<Measurement> {
  const applications = [...samples.values()].map(({ application }) => application);
  const users = usersOf(applications, count, deadlineMs);
  const { nodes } = await cluster.operator.request<{ nodes: NodeRow[] }>("GET", "/v1/nodes");
  const withNewKeys = async (): Promise<Service> => {
    const keys = await Promise.all(users.map(async () => (await cluster.createUser()).apiKey));
    const names = nodes.map(({ node }) => node);
    return new Service(cluster.url, keys, samples, names);
  };
  // What saturation teaches a controller is none of the machines' times: those of the runs that count are not calibrated with.
  const [saturated, service] = [await withNewKeys(), await withNewKeys()];
  const traceOf = (options: TraceOptions): Trace =>
    makeTrace(
      users,
      options,
      ({ name }) => samples.get(name)?.samples.length ?? 0,
      (request) => service.sample(request).body.byteLength,
    );

  // The controllers meet the nodes, workerd compiles what it will.
  const first = traceOf({ shape: "poisson", ...FIRST, leadMs: 0, seed: WARM_UP.seed });
  for (const one of [saturated, service]) await offer(first, DYSTRI, one);
  const settle: Settle = async (policy, mostPerS, untilMs, seen) => {
    const light = { shape: "poisson", perS: SETTLE.load * mostPerS, leadMs: 0, untilMs } as const;
    await offer(traceOf({ ...light, seed: SETTLE.seed }), policy, service, seen);
  };
  const calibration = await calibrate(saturated, service, users, nodes, 1000 * BUSY_SHARE * seconds, settle);
  const { bestPerS, fastPerS } = calibration;
  const loadOnePerS = ratePerS ?? bestPerS;
  say(
    `closed loop: ${bestPerS.toFixed(0)} requests/s with the deepest rung on ${nodes.length} nodes, ` +
      `${fastPerS.toFixed(0)} with the first at the edge; load 1 is ${loadOnePerS.toFixed(0)} requests/s`,
  );
  // Light loads first: they do not meet what overload leaves behind.
  const cells = loads.toSorted((a, b) => a - b).flatMap((load) => shapes.map((shape) => ({ shape, load })));
  const perS = WARM_UP.load * loadOnePerS;
  const warmUp = traceOf({ shape: "poisson", perS, leadMs: 0, untilMs: WARM_UP.ms, seed: WARM_UP.seed });
  const runs: LiveRun[] = [];
  const leftOut: string[] = [];
  for (const [cell, { shape, load }] of cells.entries()) {
    const runMs = runMsOf(endsAt - TAIL_MS - performance.now(), policies.length, cells.length - cell);
    if (runMs === null) {
      leftOut.push(`${shape}, ${load}x`);
      continue;
    }
    const trace = traceOf({ shape, perS: load * loadOnePerS, leadMs: LEAD_SHARE * runMs, untilMs: runMs, seed });
    for (let turn = 0; turn < policies.length; turn++) {
      // Whoever comes first differs from cell to cell.
      const policy = policies[(turn + cell) % policies.length] as LivePolicy;
      await settle(STATIC_FAST, loadOnePerS, SETTLE.ms, () => undefined);
      runs.push({ shape, load, policy, trace, offering: await offer(trace, policy, service) });
    }
  }
  return { nodes, calibration, warmUp, runs, leftOut };
}

/** How long each run of the next cell may be when as many cells as fit share what is left alike; null when none fits. */
function runMsOf(leftMs: number, policies: number, cells: number): number | null {
  const fitting = Math.min(cells, Math.floor(leftMs / (policies * (LEAST_RUN_MS + SETTLE.ms))));
  return fitting < 1 ? null : Math.floor(leftMs / (policies * fitting) - SETTLE.ms);
}

/** Simulates what was run. */
function rowOf(
  { shape, load, policy, trace, offering }: LiveRun,
  { nodes, calibration, warmUp }: Measurement,
  samples: ReadonlyMap<string, Samples>,
  seed: number,
): Row {
  const { records, ...generator } = offering;
  const simulated = simulate(trace, policy, {
    seed,
    nodes,
    measured: calibration.measured,
    applications: [...samples.values()].map(({ application }) => application),
    inputs: new Map([...samples].map(([name, { table: inputs }]) => [name, inputs])),
    warmUp,
  });
  const { requests, untilMs } = trace.workload;
  return {
    workload: shape,
    load,
    policy: policy.name,
    runMs: untilMs,
    arrivals: describeArrivals(
      requests.map(({ atMs }) => atMs),
      untilMs,
    ),
    live: figuresOf(trace, records),
    simulated: figuresOf(trace, simulated),
    error: errorOf(trace, records, simulated),
    ...generator,
  };
}

/** One of each platform, then the next of each, so that few users still have all platforms. */
function platformsInTurn(applications: ReturnType<typeof loadApplications>): ReturnType<typeof loadApplications> {
  const seen = new Map<string, number>();
  return applications
    .map((application) => {
      const turn = seen.get(application.platform) ?? 0;
      seen.set(application.platform, turn + 1);
      return { application, turn };
    })
    .sort((a, b) => a.turn - b.turn)
    .map(({ application }) => application);
}
