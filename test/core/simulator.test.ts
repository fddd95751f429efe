import { describe, expect, test } from "vitest";
import { Dystri } from "../../bench/simulator/dystri.ts";
import { EventQueue } from "../../bench/simulator/event-queue.ts";
import type { Fault } from "../../bench/simulator/faults.ts";
import { staticBest, staticFast } from "../../bench/simulator/fixed-rung.ts";
import { latentInputs } from "../../bench/simulator/inputs.ts";
import { luck, lognormal, normalQuantile, Random } from "../../bench/simulator/random.ts";
import { jain, Records, STATUSES } from "../../bench/simulator/records.ts";
import { deepestPerS, inputTables, loadApplications, nodes, plantOf, usersOf } from "../../bench/simulator/scenario.ts";
import { Site } from "../../bench/simulator/site.ts";
import { describeArrivals, instants, makeWorkload, workloadText, zipfShares } from "../../bench/simulator/workload.ts";
import { World, type PolicyOf } from "../../bench/simulator/world.ts";
import type { Application } from "../../protocol/application.ts";

const applications = loadApplications();
const clothing = applications.find(({ name }) => name === "clothing") as Application;
const inputs = inputTables(applications, 1);
const plant = plantOf(nodes(2));
const dystri: PolicyOf = (world) => new Dystri(world);

const workloadOf = (seed: number, untilMs = 1500, load = 1) => {
  const rate = (load * deepestPerS(clothing, plant)) / 20;
  const users = usersOf(clothing, 20, 80, () => ({ kind: "poisson", rate }));
  return makeWorkload(users, seed, untilMs, ({ name }) => inputs.get(name)?.rows ?? 0);
};

const worldOf = (seed: number, faults: Fault[] = [], untilMs?: number, load?: number): World =>
  new World({ seed, plant, workload: workloadOf(seed, untilMs, load), inputs, applications, faults });

describe("virtual time", () => {
  test("events happen in order of time, equals in the order they were asked for, cancelled ones not at all", () => {
    const events = new EventQueue();
    const seen: string[] = [];
    const note = (what: string) => () => void seen.push(`${what}@${events.now}`);
    events.at(5, note("b"));
    events.at(1, note("a"));
    events.at(5, note("c"));
    events.cancel(events.at(2, note("never")));
    events.at(3, () => events.after(2, note("d")));
    events.at(9, note("beyond"));
    events.run(8);
    expect(seen).toEqual(["a@1", "b@5", "c@5", "d@5"]);
    expect(events.now).toBe(8);
  });

  test("any number of events comes out sorted", () => {
    const events = new EventQueue();
    const random = new Random(1, "test");
    const seen: number[] = [];
    for (let i = 0; i < 2000; i++) {
      const at = random.below(300);
      events.at(at, () => seen.push(at));
    }
    events.run(300);
    expect(seen).toHaveLength(2000);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  });
});

describe("chance", () => {
  test("streams are told apart by seed and purpose, and can be had again", () => {
    const draw = (seed: number, purpose: string) => {
      const random = new Random(seed, purpose);
      return Array.from({ length: 5 }, () => random.uniform());
    };
    expect(draw(1, "arrivals 1")).toEqual(draw(1, "arrivals 1"));
    expect(new Set([draw(1, "arrivals 1"), draw(1, "arrivals 2"), draw(2, "arrivals 1")].flat()).size).toBe(15);
  });

  test.each([
    ["uniform", (r: Random) => r.uniform(), 1 / 2, 1 / 12],
    ["normal", (r: Random) => r.normal(), 0, 1],
    ["exponential", (r: Random) => r.exponential(3), 3, 9],
    ["gamma, shape 4", (r: Random) => r.gamma(4, 0.5), 2, 1],
    ["gamma, shape 1/8", (r: Random) => r.gamma(1 / 8, 8), 1, 8],
  ])("%s has its mean and variance", (name, draw, mean, variance) => {
    const random = new Random(7, name);
    const sample = Array.from({ length: 100_000 }, () => draw(random));
    const average = sample.reduce((a, b) => a + b, 0) / sample.length;
    const spread = sample.reduce((sum, x) => sum + (x - average) ** 2, 0) / sample.length;
    expect(average).toBeCloseTo(mean, 1);
    expect(Math.abs(spread / variance - 1)).toBeLessThan(0.06);
  });

  test("luck belongs to what it is drawn for, and is uniform", () => {
    expect(luck(1, 2, 3)).toBe(luck(1, 2, 3));
    const draws = Array.from({ length: 20_000 }, (_, i) => luck(1, i >> 2, i & 3));
    expect(new Set(draws).size).toBeGreaterThan(19_900);
    expect(draws.reduce((a, b) => a + b, 0) / draws.length).toBeCloseTo(0.5, 2);
    const factors = draws.map((draw) => Math.log(lognormal(draw, 0.1)));
    expect(Math.sqrt(factors.reduce((sum, x) => sum + x * x, 0) / factors.length)).toBeCloseTo(0.1, 2);
    expect(normalQuantile(0.975)).toBeCloseTo(1.96, 3);
    expect(normalQuantile(0.001)).toBeCloseTo(-3.0902, 3);
  });
});

describe("workloads", () => {
  const untilMs = 600_000;
  const figures = (arrivals: Parameters<typeof instants>[0]) =>
    describeArrivals(instants(arrivals, new Random(3, "arrivals"), untilMs), untilMs);

  test.each([1, 2, 8])("gamma gaps of CV² %d", (cv2) => {
    const { perS, cv } = figures({ kind: "gamma", rate: 100, cv2 });
    expect(perS / 100).toBeCloseTo(1, 1);
    expect(cv ** 2 / cv2).toBeCloseTo(1, 1);
  });

  test("two states have the rate and the dispersion theory gives them", () => {
    const { perS, idc } = figures({ kind: "mmpp2", rates: [100, 800], meanStayMs: [7000, 1000] });
    // IDC(t) = 1 + 2(r1−r0)²π0π1/(s·mean)·(1−(1−e^(−st))/(st)), s = 1/h0 + 1/h1; here t = 1 s.
    const s = 1 / 7 + 1;
    const mean = (100 * 7 + 800) / 8;
    const theory = 1 + ((2 * 700 ** 2 * (7 / 64)) / (s * mean)) * (1 - (1 - Math.exp(-s)) / s);
    expect(perS / mean).toBeCloseTo(1, 0);
    expect(Math.abs(idc / theory - 1)).toBeLessThan(0.3);
  });

  test("steps hold between their instants", () => {
    const at = instants(
      {
        kind: "steps",
        steps: [
          { fromMs: 0, rate: 10 },
          { fromMs: 100_000, rate: 200 },
        ],
      },
      new Random(1, "arrivals"),
      200_000,
    );
    const before = at.filter((ms) => ms < 100_000).length;
    expect(before / 1000).toBeCloseTo(1, 0);
    expect((at.length - before) / 20_000).toBeCloseTo(1, 1);
  });

  test("Zipf's shares add up, and exponent 0 shares alike", () => {
    expect(zipfShares(10, 1).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
    expect((zipfShares(3, 1)[0] as number) / (zipfShares(3, 1)[2] as number)).toBeCloseTo(3, 9);
    expect(new Set(zipfShares(4, 0))).toEqual(new Set([0.25]));
  });

  test("another user leaves everybody else's requests as they were", () => {
    const users = usersOf(clothing, 3, 100, () => ({ kind: "poisson", rate: 20 }));
    const make = (some: typeof users) => makeWorkload(some, 1, 5000, () => 100);
    const of = (workload: ReturnType<typeof make>, index: number) =>
      workload.requests.filter(({ user }) => user.index === index).map(({ atMs, input }) => [atMs, input]);
    expect(of(make(users), 0)).toEqual(of(make(users.slice(0, 2)), 0));
  });
});

describe("inputs", () => {
  test.each(applications.map((application) => [application.name, application] as const))(
    "drawn for %s are as often right as the evidence says, at every exit and across exits",
    (_, application) => {
      const table = latentInputs(application, 5);
      application.rungs.forEach((rung, m) => {
        const total = rung.evidence.reduce((sum, row) => sum + row.count, 0);
        const expected = rung.evidence.reduce((sum, row) => sum + row.count * (row.right[m] ?? 0), 0) / total;
        expect(Math.abs(table.accuracy(m) - expected)).toBeLessThan(0.02);
      });
      expect(table.distance()).toBeLessThan(0.04);
    },
  );
});

describe("machines", () => {
  const at = (act: (site: Site, events: EventQueue, note: () => void) => void): number[] => {
    const events = new EventQueue();
    const site = new Site(events, 1, 1, 0);
    const ended: number[] = [];
    act(site, events, () => ended.push(events.now));
    events.run(1000);
    return ended;
  };

  test("a pause holds up what runs by as long as it lasts", () => {
    expect(
      at((site, events, note) => {
        site.compute(10, [0], 0, note);
        events.at(4, () => site.pause(100));
        events.at(50, () => site.whenAwake(note));
      }),
    ).toEqual([104, 110]);
  });

  test("nothing comes of a machine that has died", () => {
    expect(
      at((site, events, note) => {
        site.compute(10, [0], 0, note);
        events.at(4, () => site.kill());
        events.at(5, () => site.whenAwake(note));
      }),
    ).toEqual([]);
  });
});

describe("records", () => {
  test("statuses add up to what was offered; an answer told twice counts once and is seen", () => {
    const workload = workloadOf(1, 200);
    const records = new Records(workload);
    const [first, second] = workload.requests;
    if (!first || !second) throw new Error("the workload is too small");
    const outcome = {
      status: "onTime",
      rung: 1,
      node: -1,
      right: true,
      degraded: false,
      totalMs: 5,
      predictedMs: 4,
    } as const;
    records.finish(first, outcome);
    records.finish(first, { ...outcome, status: "late" });
    records.finish(second, { ...outcome, status: "late", totalMs: 500 });
    const summary = records.summary();
    expect(STATUSES.reduce((sum, status) => sum + summary.counts[status], 0)).toBe(workload.requests.length);
    expect(summary).toMatchObject({ counts: { onTime: 1, late: 1, error: workload.requests.length - 2 } });
    expect(summary.effectiveAccuracy).toBe(1 / workload.requests.length);
    expect([records.duplicates, records.lost]).toEqual([1, workload.requests.length - 2]);
  });

  test("Jain's index", () => {
    expect(jain([3, 3, 3])).toBe(1);
    expect(jain([1, 0, 0, 0])).toBe(0.25);
  });
});

describe("a whole world", () => {
  const policies: [string, PolicyOf][] = [
    ["dystri", dystri],
    ["the cheapest rung", staticFast],
    ["the best rung", staticBest(true)],
  ];

  test.each(policies)("%s: the same seed gives the same bytes, another one does not", (_, policy) => {
    const texts = [1, 1, 2].map((seed) => worldOf(seed).run(policy).text());
    expect(texts[0]).toBe(texts[1]);
    expect(texts[0]).not.toBe(texts[2]);
  });

  test("every policy is offered the same, byte for byte", () => {
    const texts = policies.map(([, policy]) => {
      const world = worldOf(1);
      world.run(policy);
      return workloadText(world.workload);
    });
    expect(new Set(texts).size).toBe(1);
  });

  test("with room to spare nothing is missed, and what was planned is what comes", () => {
    const world = worldOf(1, [], 3000, 0.3);
    const summary = world.run(dystri).summary();
    expect(summary.missRate).toBe(0);
    expect(summary.nodeShare).toBeGreaterThan(0.1);
    expect(Math.abs(summary.predictionBiasMs)).toBeLessThan(10);
  });

  const faults: Fault[] = [
    { atMs: 700, kind: "die", node: 0, forMs: 500 },
    { atMs: 700, kind: "pause", node: 0, forMs: 500 },
    { atMs: 700, kind: "slow", node: 1, factor: 3, forMs: 500 },
    { atMs: 700, kind: "silence", node: 0, forMs: 500 },
    { atMs: 700, kind: "evict", node: 0 },
    { atMs: 700, kind: "coordinator", forMs: 500 },
    { atMs: 700, kind: "skew", clocks: ["front", "user-1", "node-1", "gw:local:node-1", "edge:vision:0"], upToMs: 50 },
  ];
  test.each(faults.map((fault) => [fault.kind, fault] as const))(
    "%s: every request is answered or given up once, and the world can be had again",
    (_, fault) => {
      const run = () => {
        const records = worldOf(3, [fault], 2500, 1.5).run(dystri);
        return { text: records.text(), lost: records.lost, duplicates: records.duplicates };
      };
      const first = run();
      expect(first).toMatchObject({ lost: 0, duplicates: 0 });
      expect(run().text).toBe(first.text);
    },
  );
});
