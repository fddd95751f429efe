/** A greedy user beside others: the scene of `npm run bench:isolation` and of the report's picture. */
import type { Application } from "../../protocol/application.ts";
import type { Records } from "../simulator/records.ts";
import { inputTables, loadApplications, usersOf } from "../simulator/scenario.ts";
import { makeWorkload, type Arrivals, type Offered } from "../simulator/workload.ts";
import { World, type Plant, type PolicyOf } from "../simulator/world.ts";

export const USERS = 8;
export const DEADLINE_MS = 100;
export const GREEDY_FACTOR = 20;
/** Everything has settled; then the greedy user begins. */
export const RISE_AT_MS = 10_000;
export const UNTIL_MS = 30_000;

const applications = loadApplications();

/** The one that all users ask for. Throws Error where models/ is empty. */
export function isolationApplication(): Application {
  const application = applications.find(({ name }) => name === "clothing") ?? applications[0];
  if (!application) throw new Error("models/ has no application");
  return application;
}

/** Arrivals of user `index` where all send `perS` requests a second in all, and the first rises. */
export function rising(perS: number): (index: number) => Arrivals {
  return (index) => ({
    kind: "steps",
    steps: [
      { fromMs: 0, rate: perS / USERS },
      { fromMs: RISE_AT_MS, rate: (index === 0 ? GREEDY_FACTOR : 1) * (perS / USERS) },
    ],
  });
}

/** One world; gives what was offered and what became of it. */
export function runIsolation(
  policy: PolicyOf,
  plant: Plant,
  seed: number,
  untilMs: number,
  arrivals: (index: number) => Arrivals,
): { requests: Offered[]; records: Records } {
  const inputs = inputTables(applications, seed);
  const users = usersOf(isolationApplication(), USERS, DEADLINE_MS, arrivals);
  const workload = makeWorkload(users, seed, untilMs, ({ name }) => inputs.get(name)?.rows ?? 0);
  const world = new World({ seed, plant, workload, inputs, applications });
  return { requests: workload.requests, records: world.run(policy) };
}
