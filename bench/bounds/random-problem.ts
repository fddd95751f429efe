/**
 * Problems to measure a bound with: users with devices and uplinks of different speed, an edge, nodes, and a ladder of
 * exits that the edge may begin and a node go on with. Real ladders and real answers are the simulator's; here the
 * figures are round and everything follows from one seed.
 */
import { Random } from "../simulator/random.ts";
import { type BoundOption, type BoundProblem, chained, type Resource, type Step } from "./problem.ts";

export type RandomWorld = {
  seed: number;
  requests: number;
  users: number;
  nodes: number;
  /** Requests a second, as a multiple of what the nodes could do if all ran to the last exit. */
  load: number;
  deadlineMs: number;
};

/** Exits of one ladder: cumulative work on a node, and what the hidden difficulty must stay below to be right. */
const LADDER = [
  { nodeMs: 1, reach: 0.6, cutBytes: 12_000 },
  { nodeMs: 2.5, reach: 0.72, cutBytes: 8_000 },
  { nodeMs: 4.5, reach: 0.8, cutBytes: 4_000 },
  { nodeMs: 8, reach: 0.88, cutBytes: 0 },
] as const;
const FULL_MS = 8;
const INPUT_BYTES = 30_000;
const EDGE_SLOWER = 4;
const DEVICE_FULL_MS = [60, 150, 400];
/** Resources that are there for all; then each user's device and uplink. */
const EDGE_LANES = 4;

/** `values`: right answers count 1 (what a clairvoyant knows), or every option its share of right ones (`expected`). */
export function randomProblem(world: RandomWorld, values: "right" | "expected" = "right"): BoundProblem {
  const { seed, users, nodes, load, deadlineMs } = world;
  const lane = (name: string): Resource => ({ name, speed: 1, lanes: 1 });
  const resources: Resource[] = [
    { name: "edge", speed: EDGE_LANES, lanes: EDGE_LANES },
    ...Array.from({ length: nodes }, (_, i) => lane(`node ${i}`)),
    ...Array.from({ length: users }, (_, i) => [lane(`device ${i}`), lane(`uplink ${i}`)]).flat(),
  ];
  const chance = {
    arrivals: new Random(seed, "arrivals"),
    users: new Random(seed, "users"),
    inputs: new Random(seed, "inputs"),
  };
  const people = Array.from({ length: users }, (_, i) => ({
    device: 1 + nodes + 2 * i,
    uplink: 2 + nodes + 2 * i,
    slower: (DEVICE_FULL_MS[chance.users.below(DEVICE_FULL_MS.length)] as number) / FULL_MS,
    bytesPerMs: chance.users.between(7.5, 50) * 125,
    oneWayMs: chance.users.between(2, 10),
  }));
  let arrivalAt = 0;
  const requests = Array.from({ length: world.requests }, () => {
    arrivalAt += chance.arrivals.exponential(FULL_MS / (nodes * load));
    const person = people[chance.users.below(users)] as (typeof people)[number];
    const ease = chance.inputs.uniform();
    const options = LADDER.flatMap(({ reach }, rung): BoundOption[] => {
      const noise = 0.05 * chance.inputs.normal();
      const right = ease < reach + noise;
      // Easy inputs are more surely right, and deeper exits more than early ones: a smooth stand-in for evidence tables.
      const value = values === "right" ? Number(right) : 1 / (1 + Math.exp((ease - reach) / 0.1));
      const option = (steps: Step[], afterMs: number): BoundOption =>
        chained(resources, { arrivalAt, dueAt: arrivalAt + deadlineMs, value }, steps, afterMs);
      const { device, uplink, slower, bytesPerMs, oneWayMs } = person;
      const nodeMs = (upTo: number): number => (upTo < 0 ? 0 : (LADDER[upTo]?.nodeMs as number));
      const send: Step = { resource: uplink, delayMs: 0, workMs: INPUT_BYTES / bytesPerMs };
      const edge = (upTo: number): Step => ({ resource: 0, delayMs: oneWayMs, workMs: EDGE_SLOWER * nodeMs(upTo) });
      const found = [
        option([{ resource: device, delayMs: 0, workMs: slower * nodeMs(rung) }], 0),
        option([send, edge(rung)], oneWayMs),
      ];
      for (let node = 1; node <= nodes; node++) {
        for (let prefix = -1; prefix < rung; prefix++) {
          const rest: Step = { resource: node, delayMs: 5, workMs: nodeMs(rung) - nodeMs(prefix) };
          const steps = prefix < 0 ? [send, { ...rest, delayMs: 5 + oneWayMs }] : [send, edge(prefix), rest];
          found.push(option(steps, 5 + oneWayMs));
        }
      }
      return found;
    });
    return { options };
  });
  return { resources, requests };
}
