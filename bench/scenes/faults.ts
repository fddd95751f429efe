/** Faults that strike a smooth world: the scene of `npm run bench:faults` and of the report's picture. */
import { Dystri } from "../simulator/dystri.ts";
import type { Fault } from "../simulator/faults.ts";
import type { Records } from "../simulator/records.ts";
import { deepestPerS, inputTables, loadApplications, nodes, plantOf, usersOf } from "../simulator/scenario.ts";
import { makeWorkload, type Offered } from "../simulator/workload.ts";
import { World } from "../simulator/world.ts";

const SEED = 1;
export const USERS = 200;
export const NODES = 4;
/** Requests a second of all users, over what the machines answer of the first application with the deepest rung each has. */
const LOAD = 2;
export const DEADLINE_MS = 100;
const STRIKE_AT_MS = 10_000;
export const WINDOW_MS = 30_000;
export const UNTIL_MS = STRIKE_AT_MS + WINDOW_MS + 2000;
export const MIX = ["clothing", "clothing", "clothing", "keywords", "topics"];

const at = { atMs: STRIKE_AT_MS };
const clocks = [
  "coordinator",
  "front",
  ...Array.from({ length: NODES }, (_, i) => [`node-${i + 1}`, `gw:local:node-${i + 1}`]).flat(),
  ...["vision", "audio", "text"].map((platform) => `edge:${platform}:0`),
  ...Array.from({ length: USERS }, (_, i) => `user-${i + 1}`),
];
export const FAULTS: readonly { name: string; fault: Fault }[] = [
  { name: "a node dies, back after 10 s", fault: { ...at, kind: "die", node: 0, forMs: 10_000 } },
  { name: "a node pauses 2 s", fault: { ...at, kind: "pause", node: 0, forMs: 2000 } },
  { name: "a node is 3 times as slow for 10 s", fault: { ...at, kind: "slow", node: 0, factor: 3, forMs: 10_000 } },
  { name: "a node's beats are lost for 10 s", fault: { ...at, kind: "silence", node: 0, forMs: 10_000 } },
  { name: "a gateway is evicted", fault: { ...at, kind: "evict", node: 0 } },
  { name: "the coordinator is gone for 5 s", fault: { ...at, kind: "coordinator", forMs: 5000 } },
  { name: "all clocks off by up to 50 ms", fault: { ...at, kind: "skew", clocks, upToMs: 50 } },
];

const applications = loadApplications();
const inputs = inputTables(applications, SEED);
const plant = plantOf(nodes(NODES));
const [first] = applications.filter(({ name }) => name === MIX[0]);
const rate = first ? (LOAD * deepestPerS(first, plant)) / USERS : 0;
const all = MIX.flatMap((name) => applications.filter((application) => application.name === name));
const users = Array.from({ length: USERS }, (_, index) => {
  const application = all[index % all.length];
  if (!application) throw new Error(`models/ has none of ${MIX.join(", ")}`);
  const [user] = usersOf(application, 1, DEADLINE_MS, () => ({ kind: "poisson", rate }));
  if (!user) throw new Error("no user was made");
  return { ...user, index, name: `user-${index + 1}` };
});
export const workload = makeWorkload(users, SEED, UNTIL_MS, ({ name }) => inputs.get(name)?.rows ?? 0);

/** From the fault on. */
export const inWindow = ({ atMs }: Offered): boolean => atMs >= STRIKE_AT_MS && atMs < STRIKE_AT_MS + WINDOW_MS;

export function runFaults(faults: Fault[]): Records {
  return new World({ seed: SEED, plant, workload, inputs, applications, faults }).run((world) => new Dystri(world));
}

/** Per second from the fault on: the share of right answers on time that the calm world had and `here` has not. */
export function deficitsPerS(calm: Records, here: Records): number[] {
  const seconds = Array.from({ length: WINDOW_MS / 1000 }, () => ({ calm: 0, here: 0 }));
  const right = (of: Records, request: Offered): number => {
    const outcome = of.outcome(request);
    return outcome?.status === "onTime" && outcome.right ? 1 : 0;
  };
  for (const request of workload.requests) {
    const second = seconds[Math.floor((request.atMs - STRIKE_AT_MS) / 1000)];
    if (!second) continue;
    second.calm += right(calm, request);
    second.here += right(here, request);
  }
  return seconds.map(({ calm: before, here: after }) => (before > 0 ? 1 - after / before : 0));
}
