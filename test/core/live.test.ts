import { describe, expect, test } from "vitest";
import { UsageError } from "../../bench/command-line/options.ts";
import { errorOf, figuresOf } from "../../bench/live/comparison.ts";
import { readOptions } from "../../bench/live/options.ts";
import { edgeTimes, nodeTimes, type Measured, type NodeRow } from "../../bench/live/plant.ts";
import { LIVE_POLICIES, queryOf, type LivePolicy } from "../../bench/live/policies.ts";
import { statusOfProblem } from "../../bench/live/service.ts";
import { simulate } from "../../bench/live/simulate.ts";
import { makeTrace, remainingMs, SHAPES, usersOf, type Shape, type Trace, type Way } from "../../bench/live/trace.ts";
import { inputTables, loadApplications, nodes } from "../../bench/simulator/scenario.ts";
import { Records, STATUSES } from "../../bench/simulator/records.ts";
import { describeArrivals, workloadText } from "../../bench/simulator/workload.ts";
import { registrationOf } from "../../bench/simulator/world.ts";
import { readWishes } from "../../functions/api/wishes.ts";
import type { Application } from "../../protocol/application.ts";

const applications = loadApplications();
const inputs = inputTables(applications, 1);
const users = usersOf(applications, applications.length, 100);

function traceOf(shape: Shape, perS: number, untilMs: number, seed = 1, bytes = 2000): Trace {
  const options = { shape, perS, leadMs: untilMs / 5, untilMs, seed };
  return makeTrace(
    users,
    options,
    ({ name }) => inputs.get(name)?.rows ?? 0,
    () => bytes,
  );
}

const policyNamed = (name: string): LivePolicy => LIVE_POLICIES.find((one) => one.name === name) as LivePolicy;

const rows: NodeRow[] = nodes(2).map((spec) => {
  const { agentVersion, provider, device, concurrency, applications: served } = registrationOf(spec, applications);
  const row = { node: spec.name, state: "online", agent_version: agentVersion, provider, device, concurrency };
  return { ...row, applications: served };
});
const platforms = [...new Set(applications.map(({ platform }) => platform))];
const every = (value: number): Record<string, number> =>
  Object.fromEntries(applications.map(({ name }) => [name, value]));
const measured: Measured = {
  edgeSlowdown: Object.fromEntries(platforms.map((platform) => [platform, 1.5])),
  edgeCallMs: 0.5,
  objectMs: 0.5,
  linkMs: 1,
  frontMs: every(0.3),
  wireMs: every(0.4),
  nodeSlowdown: { "node-1": 1, "node-2": 1.2 },
  sigma: 0.1,
};

const simulated = (trace: Trace, policy: LivePolicy, over: Partial<Measured> = {}): Records =>
  simulate(trace, policy, {
    seed: 1,
    nodes: rows,
    measured: { ...measured, ...over },
    applications,
    inputs,
    warmUp: traceOf("poisson", 50, 2000, 7),
  });

describe("the trace", () => {
  test.each(SHAPES)("%s: the same seed offers the same requests on the same journeys, another seed others", (shape) => {
    const [one, again, other] = [traceOf(shape, 200, 2000), traceOf(shape, 200, 2000), traceOf(shape, 200, 2000, 2)];
    expect(workloadText(again.workload)).toBe(workloadText(one.workload));
    expect(again.ways).toEqual(one.ways);
    expect(workloadText(other.workload)).not.toBe(workloadText(one.workload));
  });

  test("bursts keep the mean rate and are dispersed more than Poisson arrivals", () => {
    const of = (shape: Shape) => {
      const { requests, untilMs } = traceOf(shape, 100, 60_000).workload;
      return describeArrivals(
        requests.map(({ atMs }) => atMs),
        untilMs,
      );
    };
    const [poisson, bursty] = [of("poisson"), of("mmpp2")];
    expect(bursty.perS / poisson.perS).toBeGreaterThan(0.95);
    expect(bursty.perS / poisson.perS).toBeLessThan(1.05);
    expect(bursty.idc).toBeGreaterThan(5 * poisson.idc);
  });

  test("every request has a way that takes at least its preparation, and an uplink carries one after the other", () => {
    const meanUpMs = (bytes: number): number => {
      const { workload, ways } = traceOf("poisson", 350, 2000, 1, bytes);
      expect(ways).toHaveLength(workload.requests.length);
      for (const { id } of workload.requests) expect((ways[id] as Way).upMs).toBeGreaterThan(0.5);
      return ways.reduce((sum, { upMs }) => sum + upMs, 0) / ways.length;
    };
    // 50 requests a second of 60,000 bytes are 24 Mbit/s: more than LTE carries, so that what comes later waits.
    expect(meanUpMs(60_000)).toBeGreaterThan(10 * meanUpMs(600));
  });

  test("what is left at the service is the deadline without both ways", () => {
    const { workload } = traceOf("poisson", 100, 500);
    const [request] = workload.requests;
    if (!request) throw new Error("no request was drawn");
    expect(remainingMs(request, { upMs: 30.5, downMs: 99, reserveMs: 10 })).toBe(59);
    expect(remainingMs(request, { upMs: 95, downMs: 0, reserveMs: 10 })).toBeLessThan(1);
  });
});

test.each(LIVE_POLICIES)("$name: the service reads from the query what the simulator is told", (policy) => {
  const query = new URLSearchParams(queryOf(policy));
  const { wishes } = readWishes({ query, header: () => null }, applications[0] as Application);
  expect(wishes).toEqual(policy.wishes);
});

describe("the simulator on a live trace", () => {
  const trace = traceOf("poisson", 150, 3000);

  test.each(LIVE_POLICIES)(
    "$name: every request is accounted for once, and none is faster than its journey",
    (policy) => {
      const records = simulated(trace, policy);
      expect(records.lost).toBe(0);
      expect(records.duplicates).toBe(0);
      const { offered, counts } = figuresOf(trace, records);
      expect(STATUSES.reduce((sum, status) => sum + counts[status], 0)).toBe(offered);
      for (const request of trace.workload.requests) {
        const outcome = records.outcome(request);
        const way = trace.ways[request.id] as Way;
        if (outcome && outcome.rung >= 0) expect(outcome.totalMs).toBeGreaterThan(way.upMs + way.downMs + 0.7);
      }
    },
  );

  test("the same trace gives the same outcomes", () => {
    const dystri = policyNamed("dystri");
    expect(simulated(trace, dystri).text()).toBe(simulated(trace, dystri).text());
  });

  test("wishes reach the simulated front", () => {
    const fast = figuresOf(trace, simulated(trace, policyNamed("static-fast")));
    expect(fast.nodeShare).toBe(0);
    const best = figuresOf(trace, simulated(trace, policyNamed("static-best")));
    expect(best.nodeShare).toBe(1);
    expect(best.depth).toBeGreaterThan(2 * fast.depth);
  });

  test("what was measured is what is simulated: of the client's way, the front's thread, the edge and the nodes", () => {
    const p50 = (name: string, over: Partial<Measured> = {}): number =>
      figuresOf(trace, simulated(trace, policyNamed(name), over)).p50Ms;
    const [fast, best] = [p50("static-fast"), p50("static-best")];
    expect(p50("static-fast", { wireMs: every(5.4) }) - fast).toBeCloseTo(5, 0);
    expect(p50("static-fast", { frontMs: every(4) })).toBeGreaterThan(fast + 3.5);
    expect(p50("static-fast", { edgeSlowdown: { vision: 40, audio: 40, text: 40 } })).toBeGreaterThan(fast + 1);
    expect(p50("static-best", { nodeSlowdown: { "node-1": 10, "node-2": 10 } })).toBeGreaterThan(best + 1);
  });
});

describe("the error between live and simulated", () => {
  const trace = traceOf("poisson", 100, 2000);
  /** Everything answered right after `tookMs`. */
  const answered = (tookMs: number): Records => {
    const records = new Records(trace.workload);
    for (const request of trace.workload.requests) {
      const status = tookMs > request.user.deadlineMs ? "late" : "onTime";
      records.finish(request, {
        status,
        rung: 0,
        node: -1,
        right: true,
        degraded: false,
        predictedMs: 0,
        totalMs: tookMs,
      });
    }
    return records;
  };

  test("a run is like itself", () => {
    expect(errorOf(trace, answered(20), answered(20))).toEqual({
      p50Ms: 0,
      p99Ms: 0,
      p50Share: 0,
      p99Share: 0,
      missPoints: 0,
      accuracyPoints: 0,
      sameFate: 1,
    });
  });

  test("signs and shares are of simulated less live, and only counted requests count", () => {
    const error = errorOf(trace, answered(80), answered(120));
    expect(error).toEqual({
      p50Ms: 40,
      p99Ms: 40,
      p50Share: 0.5,
      p99Share: 0.5,
      missPoints: 100,
      accuracyPoints: -100,
      sameFate: 0,
    });
    const counted = trace.workload.requests.filter(({ atMs }) => atMs >= trace.leadMs);
    expect(figuresOf(trace, answered(80)).offered).toBe(counted.length);
    expect(counted.length).toBeLessThan(trace.workload.requests.length);
  });
});

describe("the plant", () => {
  test("a node's slow-down is the median of its runs over its profile; few runs say nothing", () => {
    const profile = rows[0]?.applications["clothing"]?.rungs["4"]?.medianMs ?? 0;
    const run = (node: string, factor: number) => ({
      node,
      application: "clothing",
      rung: 4,
      computeMs: factor * profile,
    });
    const runs = [...Array.from({ length: 30 }, () => run("node-1", 3)), run("node-1", 90), run("node-2", 7)];
    const { nodeSlowdown } = nodeTimes(rows, runs);
    expect(nodeSlowdown["node-1"]).toBeCloseTo(3);
    expect(nodeSlowdown["node-2"]).toBe(1);
  });

  test("an edge's slow-down is the mean of what its own users' controllers believe", () => {
    const of = (name: string): Application => applications.find((one) => one.name === name) as Application;
    const row = (vision: number, audio: number) => ({
      edge: [
        { platform: "vision", slowdown: vision, overhead_ms: 1 },
        { platform: "audio", slowdown: audio, overhead_ms: 3 },
      ],
      nodes: [{ node: "node-1", link_ms: 2 }],
    });
    const found = edgeTimes([
      { application: of("clothing"), row: row(2, 1) },
      { application: of("glyphs"), row: row(4, 1) },
      { application: of("keywords"), row: row(1, 5) },
    ]);
    expect(found).toEqual({ edgeSlowdown: { vision: 3, audio: 5 }, edgeCallMs: (1 + 1 + 3) / 3, nodeCallMs: 2 });
  });
});

test("problems count as the simulated front counts them", () => {
  const of = (code: string) => statusOfProblem(Buffer.from(JSON.stringify({ code })));
  expect(["deadline_exceeded", "overloaded", "deadline_unmeetable", "internal"].map(of)).toEqual([
    "dropped",
    "rejected",
    "rejected",
    "error",
  ]);
  expect(statusOfProblem(Buffer.from("<html>"))).toBe("error");
});

test.each([
  [["--loads", "0.5,9"], "--loads takes numbers above 0 and up to 3, with commas; not 9"],
  [["--loads", ""], "--loads takes numbers above 0 and up to 3, with commas; not nothing"],
  [["--seconds", "5"], "--seconds takes a whole number from 40 to 600, not 5"],
  [["--policies", "dystri,gie"], "--policies takes dystri, static-fast, "],
  [["--workloads", "gamma"], "--workloads takes poisson, mmpp2, with commas; not gamma"],
  [["--rate", "0"], "--rate takes a whole number from 1 to 1000, not 0"],
  [["--nope"], "--nope"],
])("%j is refused with a reason", (args, reason) => {
  expect(() => readOptions(args)).toThrow(UsageError);
  expect(() => readOptions(args)).toThrow(reason);
});
