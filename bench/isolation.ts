/**
 * `npm run bench:isolation`: does a greedy user cost the others anything? In the simulator (bench/simulator), with the
 * real control code: 8 users at 1× load in all, then one of them at 20× its rate. The same users, arrivals and inputs are
 * run twice, with and without the greedy one's rise, and the others are compared over the time after it. A policy that
 * shares nothing out (the best rung, first come first served) shows what the same rise does to it.
 *
 * Then load alone: 0.5× to 16×, all users alike. 1× is what the machines answer with the deepest rung each of them has.
 *
 * Exit code 1 when on average over the seeds the others lose more than 1 point of effective accuracy (right answers on time over all
 * requests), or when right answers on time per second fall by more than 5 % where the offered load doubles.
 */
import {
  DEADLINE_MS,
  GREEDY_FACTOR,
  isolationApplication,
  RISE_AT_MS,
  rising,
  runIsolation,
  UNTIL_MS,
  USERS,
} from "./scenes/isolation.ts";
import { Dystri } from "./simulator/dystri.ts";
import { staticBest } from "./simulator/fixed-rung.ts";
import type { Summary } from "./simulator/records.ts";
import { deepestPerS, nodes, plantOf } from "./simulator/scenario.ts";
import { table } from "./simulator/table.ts";
import type { Arrivals, Offered } from "./simulator/workload.ts";
import type { Plant, PolicyOf } from "./simulator/world.ts";

const SEEDS = [1, 2, 3, 4, 5];
const MOST_LOST_POINTS = 1;
const LOADS = [0.5, 1, 2, 4, 8, 16];
const LOAD_UNTIL_MS = 16_000;
const MOST_FALLEN = 0.05;

const application = isolationApplication();

type Scene = { name: string; plant: Plant };
const slowEdge = { isolates: 1, slowdown: 5, call: plantOf([]).edge.call };
const SCENES: Scene[] = [
  { name: "an edge and a node", plant: plantOf(nodes(1)) },
  { name: "a node, and an edge 5 times as slow as its profile", plant: plantOf(nodes(1), { edge: slowEdge }) },
];
const dystri: PolicyOf = (world) => new Dystri(world);

let failed = false;
for (const { name, plant } of SCENES) {
  const perS = deepestPerS(application, plant);
  const rise = rising(perS);
  console.log(
    `\n${name}: ${USERS} users of ${application.name}, ${DEADLINE_MS} ms, ${perS.toFixed(0)} requests/s in all; ` +
      `from ${RISE_AT_MS / 1000} s on user 1 sends ${GREEDY_FACTOR} times as much`,
  );
  const losses: number[] = [];
  const compare = (policy: PolicyOf, label: string, seed: number, bound: boolean): string[] => {
    const calm = run(policy, plant, seed, UNTIL_MS, () => ({ kind: "poisson", rate: perS / USERS }));
    const greedy = run(policy, plant, seed, UNTIL_MS, rise);
    const after = ({ atMs }: Offered): boolean => atMs >= RISE_AT_MS;
    const others = (request: Offered): boolean => request.user.index > 0 && after(request);
    const [without, beside] = [calm(others), greedy(others)];
    const lost = 100 * (without.effectiveAccuracy - beside.effectiveAccuracy);
    if (bound) losses.push(lost);
    const one = greedy((request) => request.user.index === 0 && after(request));
    return [
      label,
      percent(without.effectiveAccuracy),
      percent(beside.effectiveAccuracy),
      lost.toFixed(2),
      `${percent(without.missRate)} → ${percent(beside.missRate)}`,
      `${calm(after).jain.toFixed(4)} → ${greedy(after).jain.toFixed(4)}`,
      `${percent(without.worstDecile)} → ${percent(beside.worstDecile)}`,
      `${percent(one.effectiveAccuracy)} (${percent(one.missRate)} missed)`,
    ];
  };
  console.log(
    table(
      [
        "seed",
        "others without",
        "others beside",
        "points lost",
        "others missed",
        "Jain, all",
        "worst of others",
        "user 1",
      ],
      [
        ...SEEDS.map((seed) => compare(dystri, `${seed}`, seed, true)),
        compare(staticBest(true), "best rung, FCFS", SEEDS[0] as number, false),
      ],
    ),
  );
  const mean = losses.reduce((a, b) => a + b, 0) / losses.length;
  console.log(`the others lose ${mean.toFixed(2)} points on average`);
  if (mean > MOST_LOST_POINTS) failed = true;
}

const [{ plant }] = SCENES as [Scene];
const perS = deepestPerS(application, plant);
console.log(`\n${USERS} users alike, load from ${LOADS[0]}× to ${LOADS.at(-1)}×, seed ${SEEDS[0]}`);
let last = 0;
const loadRows = LOADS.map((load) => {
  const all = run(dystri, plant, SEEDS[0] as number, LOAD_UNTIL_MS, () => ({
    kind: "poisson",
    rate: (load * perS) / USERS,
  }));
  const summary = all(({ atMs }) => atMs >= LOAD_UNTIL_MS / 4);
  const rightPerS = (summary.effectiveAccuracy * summary.offered) / ((0.75 * LOAD_UNTIL_MS) / 1000);
  if (last > 0 && rightPerS < (1 - MOST_FALLEN) * last) failed = true;
  last = rightPerS;
  return [
    `${load}×`,
    (load * perS).toFixed(0),
    rightPerS.toFixed(0),
    percent(summary.effectiveAccuracy),
    percent(summary.missRate),
    summary.jain.toFixed(4),
    summary.p50Ms.toFixed(1),
    summary.p99Ms.toFixed(1),
  ];
});
console.log(
  table(["load", "offered/s", "right on time/s", "effective accuracy", "missed", "Jain", "p50 ms", "p99 ms"], loadRows),
);
console.log(
  `\nothers lose at most ${MOST_LOST_POINTS} point, right answers on time fall by at most ${100 * MOST_FALLEN} %: ` +
    (failed ? "MISSED" : "held"),
);
process.exitCode = failed ? 1 : 0;

/** One world; gives the figures of the requests asked about. */
function run(
  policy: PolicyOf,
  scene: Plant,
  seed: number,
  untilMs: number,
  arrivals: (index: number) => Arrivals,
): (chosen: (request: Offered) => boolean) => Summary {
  const { records } = runIsolation(policy, scene, seed, untilMs, arrivals);
  return (chosen) => records.summary(chosen);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
