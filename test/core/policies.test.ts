import { describe, expect, test } from "vitest";
import { Solver } from "../../bench/bounds/solver.ts";
import { policies, policyNamed, type Context, type Parameters } from "../../bench/policies/registry.ts";
import { tokenThresholds } from "../../bench/policies/token-table.ts";
import type { AccessSpec } from "../../bench/simulator/access.ts";
import { InputTable } from "../../bench/simulator/inputs.ts";
import { ON_DEVICE, STATUSES, type Outcome } from "../../bench/simulator/records.ts";
import type { Offered, User } from "../../bench/simulator/workload.ts";
import { World, type NodeSpec } from "../../bench/simulator/world.ts";
import type { Application } from "../../protocol/application.ts";
import { ladder } from "../support/ladder.ts";

/** Exits of 10, 10 and 10 ms at the edge and of 2 ms each on a node; the variant takes a node 20 ms. */
const application: Application = {
  ...ladder(),
  rungs: ladder().rungs.map((rung, i) => ({
    ...rung,
    referenceMs: i === 3 ? { edge: 200, node: 20 } : { edge: 10, node: 2 },
    ...(i < 2 ? { cut: { shape: [16], bytes: { f32: 64, u8: 16, u4: 8 }, lostPoints: { u8: 0, u4: 0.5 } } } : {}),
  })),
};
/** Row 0 is sure at every exit, row 1 unsure; both are always right. */
const inputs = new Map([
  [application.name, new InputTable(application, new Uint8Array([2, 2, 2, 2, 0, 0, 0, 0]), new Uint8Array(8).fill(1))],
]);
const SURE = 0;
const UNSURE = 1;
/** The most that a variant, which runs from the input, is worth is .92; the third exit .88. */
const BEST = 3;

const LINK = { rttMs: 2, jitter: 0, mbitPerS: 0 };
const node = (name: string, over: Partial<NodeSpec> = {}): NodeSpec => {
  return { name, cores: 1, pace: 1, marginal: 1, link: LINK, ...over };
};
const STILL = { logMean: Math.log(8), logDeviation: 0, lag: 0, mbitPerS: [0.01, 100] as const, rttMs: 2, jitter: 0 };

type Asked = { atMs: number; deadlineMs?: number; input?: number; user?: number };
type Scene = {
  asked: Asked[];
  users?: Partial<User>[];
  nodes?: NodeSpec[];
  parameters?: Parameters;
};

const solver = await Solver.load();

/** Outcomes in the order asked, in a world without chance. */
function serve(policy: string, { asked, users = [{}], nodes = [node("n1")], parameters = {} }: Scene): Outcome[] {
  const all = users.flatMap((user, index) =>
    [...new Set(asked.filter((one) => (one.user ?? 0) === index).map((one) => one.deadlineMs ?? 100))].map(
      (deadlineMs): User => ({
        index,
        name: `user-${index + 1}`,
        application,
        arrivals: { kind: "poisson", rate: 1 },
        weight: 1,
        ...user,
        deadlineMs,
      }),
    ),
  );
  const requests = asked.map(({ atMs, deadlineMs = 100, input = UNSURE, user: index = 0 }, id): Offered => {
    const user = all.find((one) => one.index === index && one.deadlineMs === deadlineMs) as User;
    return { id, user, atMs, input };
  });
  const world = new World({
    seed: 1,
    plant: { edge: { isolates: 1, slowdown: 1, call: LINK }, nodes, object: LINK, coordinator: LINK, sigma: 0 },
    workload: { users: all, requests, untilMs: Math.max(...requests.map(({ atMs }) => atMs)) },
    inputs,
    applications: [application],
  });
  const context: Context = {
    training: inputs,
    solver,
    solverTimes: { byColumns: [{ columns: 100, ms: 1 }] },
    mix: new Map([[application, new Map([[false, [{ tier: "node", rung: 1, count: 1 }]]])]]),
  };
  const spec = policyNamed(policy);
  const records = world.run(spec.make({ ...spec.defaults, ...parameters }, context));
  expect(records.duplicates).toBe(0);
  return requests.map((request) => records.outcome(request) as Outcome);
}

const at = (...instants: number[]): Asked[] => instants.map((atMs) => ({ atMs }));
const burst = (count: number, over: Partial<Asked> = {}): Asked[] =>
  Array.from({ length: count }, (_, i) => ({ atMs: i / 1000, ...over }));
const rungs = (outcomes: Outcome[]): number[] => outcomes.map(({ rung }) => rung);
const statuses = (outcomes: Outcome[]): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const { status } of outcomes) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};
/** How many answers came at each instant, in order. */
const groups = (asked: Asked[], outcomes: Outcome[]): number[] => {
  const counts = new Map<string, number>();
  outcomes.forEach(({ totalMs }, i) => {
    const key = ((asked[i]?.atMs ?? 0) + totalMs).toFixed(3);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  });
  return [...counts].sort(([a], [b]) => Number(a) - Number(b)).map(([, count]) => count);
};

describe("every policy", () => {
  const asked = [...burst(30), ...burst(20, { input: SURE, user: 1 })].map((one, i) => ({ ...one, atMs: i * 3 }));
  const users = [{ device: { pace: 2 }, access: STILL as AccessSpec }, {}];

  test.each(policies().map(({ name }) => name))("%s ends each request once, and the same way each time", (name) => {
    const outcomes = serve(name, { asked, users, nodes: [node("n1"), node("n2")] });
    expect(outcomes.every((outcome) => STATUSES.includes(outcome.status))).toBe(true);
    expect(outcomes.every(({ rung, status }) => rung >= 0 || (status !== "onTime" && status !== "late"))).toBe(true);
    expect(serve(name, { asked, users, nodes: [node("n1"), node("n2")] })).toEqual(outcomes);
  });

  test("an unknown name is answered with those that are known", () => {
    expect(() => policyNamed("fastest")).toThrow(/no policy fastest; there are .*static-fast/);
  });
});

describe("static policies and cores", () => {
  test("fast is the first exit at the edge, best the variant on the node with the least work", () => {
    expect(serve("static-fast", { asked: at(0) })).toMatchObject([{ rung: 0, node: -1 }]);
    const two = serve("static-best", { asked: at(0, 1), nodes: [node("n1"), node("n2")] });
    expect(two.map((one) => [one.rung, one.node])).toEqual([
      [BEST, 0],
      [BEST, 1],
    ]);
  });

  test("in an overload no drop is late, dropping the expired is sometimes late, dropping by prediction never", () => {
    const asked = burst(20);
    const plain = { limit: 1 };
    expect(statuses(serve("static-best", { asked, parameters: plain }))).toEqual({ onTime: 4, late: 16 });
    const expired = statuses(serve("static-best+expired", { asked, parameters: plain }));
    expect(expired).toMatchObject({ onTime: 4, late: expect.any(Number), dropped: expect.any(Number) });
    // The fourth would be in time, but not by the upper estimate of a machine of which little has been measured.
    expect(statuses(serve("static-best+drop", { asked, parameters: plain }))).toEqual({ onTime: 3, dropped: 17 });
  });

  test("EDF serves a later request with an earlier deadline first", () => {
    const asked = [{ atMs: 0 }, { atMs: 1, deadlineMs: 400 }, { atMs: 2, deadlineMs: 60 }];
    const order = (name: string) => {
      const outcomes = serve(name, { asked, parameters: { limit: 1 } });
      const ends = outcomes.map(({ totalMs }, i) => (asked[i]?.atMs ?? 0) + totalMs);
      return ends.map((_, i) => i).sort((a, b) => (ends[a] as number) - (ends[b] as number));
    };
    expect(order("static-best")).toEqual([0, 1, 2]);
    expect(order("edf-full")).toEqual([0, 2, 1]);
  });

  test("stepping down answers what would have been dropped", () => {
    const asked = burst(8);
    const dropped = serve("static-best+drop", { asked, parameters: { limit: 1 } });
    const stepped = serve("static-best", { asked, parameters: { limit: 1, core: "edf-step-down" } });
    expect(statuses(dropped)).toEqual({ onTime: 3, dropped: 5 });
    expect(stepped.filter(({ rung }) => rung === BEST).length).toBeGreaterThanOrEqual(2);
    expect(statuses(stepped).onTime).toBeGreaterThan(4);
  });
});

describe("dystri on a user's device", () => {
  const slow = { device: { pace: 6 }, access: STILL as AccessSpec };

  test("what the service refuses the device answers itself, as soon as it can", () => {
    // Others fill the edge; nobody has told the device yet, for whom the edge would be quicker.
    const asked = [...burst(20, { user: 1 }), { atMs: 5 }];
    const own = serve("dystri", { asked, users: [slow, {}], nodes: [] }).at(-1);
    expect(own).toMatchObject({ status: "onTime", rung: 0, node: ON_DEVICE });
    expect(own?.totalMs).toBeGreaterThan(60);
    expect(own?.totalMs).toBeLessThan(80);
  });

  test("what the service answers in time leaves the device free for what it refuses later", () => {
    const others = burst(20, { user: 1 }).map((one) => ({ ...one, atMs: 40 + one.atMs }));
    const asked = [{ atMs: 0, input: SURE }, ...others, { atMs: 42 }];
    const outcomes = serve("dystri", { asked, users: [slow, {}], nodes: [] });
    expect(outcomes[0]).toMatchObject({ status: "onTime", node: -1 });
    expect(outcomes.at(-1)).toMatchObject({ status: "onTime", node: ON_DEVICE });
  });
});

describe("policies on the user's device", () => {
  const device = { pace: 2 };

  test("device only takes the deepest rung in time there, and has nothing for a thin client", () => {
    const served = serve("device-only", {
      asked: [{ atMs: 0 }, { atMs: 500, deadlineMs: 60 }, { atMs: 0, user: 1 }],
      users: [{ device }, {}],
    });
    expect(served.map((one) => [one.status, one.rung, one.node])).toEqual([
      ["onTime", 2, ON_DEVICE],
      ["onTime", 1, ON_DEVICE],
      ["rejected", -1, -1],
    ]);
  });

  test("Neurosurgeon runs all on the server over a quick link, all at home where nothing gets through", () => {
    // Without the variant the whole network is the third exit.
    const server = serve("neurosurgeon", { asked: at(0), users: [{ device }] });
    expect(server).toMatchObject([{ rung: BEST, node: 0 }]);
    const edgent = { ...STILL, rttMs: 2000 } as AccessSpec;
    const slow = Array.from({ length: 12 }, (_, i) => ({ atMs: 3000 * i, deadlineMs: 100 }));
    expect(serve("edgent", { asked: slow, users: [{ device, access: edgent }] }).at(-1)).toMatchObject({
      rung: 2,
      node: ON_DEVICE,
    });
  });

  test("Edgent takes a shallower exit for a nearer deadline", () => {
    const long = serve("edgent", { asked: [{ atMs: 0, deadlineMs: 200 }], users: [{}] });
    const short = serve("edgent", { asked: [{ atMs: 0, deadlineMs: 24 }], users: [{}] });
    expect(rungs(long)).toEqual([BEST]);
    expect(short[0]?.rung).toBeLessThan(BEST);
    expect(short[0]?.status).toBe("onTime");
  });

  test("SPINN stops at home where the exit is sure enough", () => {
    // Far away, so that the device begins; both rows are right everywhere, so every threshold is as accurate.
    const users = [{ device: { pace: 0.1 } }];
    const [sure, unsure] = serve("spinn", { asked: [{ atMs: 0, input: SURE }, { atMs: 1000 }], users });
    expect(sure).toMatchObject({ rung: 0, node: ON_DEVICE });
    expect(unsure?.status).toBe("onTime");
  });
});

describe("selectors", () => {
  test("greedy slack takes the best rung when idle and shallower ones when much waits", () => {
    const idle = serve("greedy-aggressive", { asked: at(0) });
    expect(rungs(idle)).toEqual([BEST]);
    const busy = serve("greedy-aggressive", { asked: burst(40) });
    expect(busy.slice(1).every(({ rung }) => rung < BEST)).toBe(true);
    // Half of the deadline is less than the upper estimate of 20 ms.
    const halved = serve("greedy-no-load", { asked: [{ atMs: 0, deadlineMs: 50 }] });
    expect(serve("greedy-aggressive", { asked: [{ atMs: 0, deadlineMs: 50 }] })[0]?.rung).toBe(BEST);
    expect(halved[0]?.rung).toBeLessThan(BEST);
  });

  test("Clipper's batches grow by one while they end in time, and shrink when they do not", () => {
    const asked = burst(36, { deadlineMs: 10_000 });
    const growing = groups(asked, serve("clipper-low", { asked }));
    expect(growing.slice(0, 7)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    const tight = { executionShare: 0.006, machines: "nodes" };
    const held = groups(asked, serve("clipper-high", { asked, parameters: tight }));
    expect(Math.max(...held)).toBeLessThanOrEqual(4);
  });

  test("SlackFit takes a high bucket with slack and a low one without", () => {
    expect(serve("slackfit", { asked: [{ atMs: 0, deadlineMs: 1000 }] })[0]?.rung).toBe(BEST);
    expect(serve("slackfit", { asked: [{ atMs: 0, deadlineMs: 12 }] })[0]?.rung).toBeLessThan(BEST);
  });

  test("INFaaS takes the slowest pair that fits, INFaaS-accuracy the best one", () => {
    // The edge's third exit takes 30 ms, the node's variant 20 ms.
    expect(serve("infaas", { asked: at(0), parameters: { floor: 0 } })).toMatchObject([{ rung: 2, node: -1 }]);
    expect(serve("infaas-accuracy", { asked: at(0) })).toMatchObject([{ rung: BEST, node: 0 }]);
    expect(serve("infaas", { asked: [{ atMs: 0, deadlineMs: 12 }], parameters: { floor: 0.99 } })[0]?.status).toBe(
      "rejected",
    );
  });

  test("GIE packs onto the machine with the least headroom left, or spreads", () => {
    const asked = [{ atMs: 0 }, { atMs: 50 }];
    const nodes = [node("slow", { pace: 1.2 }), node("fast")];
    const where = (packing: string) =>
      serve("gie", { asked, nodes, parameters: { packing, machines: "nodes" } }).map((one) => one.node);
    expect(where("pack")).toEqual([0, 0]);
    expect(where("spread")).toEqual([1, 1]);
    expect(statuses(serve("gie", { asked: burst(80), parameters: { shed: true } })).rejected).toBeGreaterThan(0);
  });

  test("EdgeServing spends less on one request where another would miss", () => {
    expect(rungs(serve("edgeserving", { asked: at(0), parameters: { machines: "nodes" } }))).toEqual([BEST]);
    const [, second, third] = serve("edgeserving", {
      asked: [{ atMs: 0 }, { atMs: 1, deadlineMs: 60 }, { atMs: 2, deadlineMs: 60 }],
      parameters: { machines: "nodes" },
    });
    expect([second?.status, third?.status]).toEqual(["onTime", "onTime"]);
  });

  test("the random mix draws what it was given", () => {
    expect(rungs(serve("random-mix", { asked: at(0, 100, 200) }))).toEqual([1, 1, 1]);
  });
});

describe("planners by epoch", () => {
  const steady = (everyMs: number, count: number): Asked[] =>
    Array.from({ length: count }, (_, i) => ({ atMs: i * everyMs, user: i % 4, deadlineMs: 200 }));
  const users = [{}, {}, {}, {}];

  test("Jellyfish serves all with the best while that fits, shallower beyond, and turns users away at last", () => {
    const parameters = { epochMs: 500 };
    const light = serve("jellyfish", { asked: steady(100, 40), users, parameters }).slice(10);
    expect(light.every(({ rung, status }) => rung === BEST && status === "onTime")).toBe(true);
    const heavy = serve("jellyfish", { asked: steady(8, 400), users, parameters }).slice(200);
    expect(heavy.filter(({ rung }) => rung >= 0 && rung < BEST).length).toBeGreaterThan(100);
    const hopeless = serve("jellyfish", { asked: steady(0.5, 4000), users, parameters }).slice(2000);
    expect(statuses(hopeless).rejected).toBeGreaterThan(100);
  });

  test("Proteus plans the best rung for a light demand and part of it for a heavy one", () => {
    const parameters = { machines: "nodes", epochMs: 500 };
    const light = serve("proteus", { asked: steady(100, 60), users, parameters }).slice(30);
    expect(rungs(light).every((rung) => rung === BEST)).toBe(true);
    const heavy = rungs(serve("proteus", { asked: steady(12, 400), users, parameters }).slice(200));
    expect(heavy.some((rung) => rung === BEST)).toBe(true);
    expect(heavy.some((rung) => rung >= 0 && rung < BEST)).toBe(true);
  });

  test("tokens are worth less the more there are, and nothing where they come as fast as they go", () => {
    const gains = [
      { gain: 0.3, share: 0.3 },
      { gain: 0.1, share: 0.3 },
      { gain: 0, share: 0.4 },
    ];
    const scarce = tokenThresholds({ gains, income: 2, cost: 10, depth: 80 });
    expect(scarce.slice(0, 10).every((threshold) => threshold === Number.POSITIVE_INFINITY)).toBe(true);
    const finite = scarce.slice(10);
    // Of values that differ by less than what the iteration leaves open.
    finite.slice(1).forEach((threshold, i) => expect(threshold).toBeLessThanOrEqual((finite[i] as number) + 1e-4));
    expect(finite[0]).toBeGreaterThan(0.1);
    expect(tokenThresholds({ gains, income: 10, cost: 10, depth: 80 }).at(-1)).toBeCloseTo(0, 6);
  });
});
