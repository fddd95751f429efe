/**
 * Who asks for what and when, and what travels: made before anything runs, from streams of their own, and the same for
 * every policy, live and simulated. A user's device takes a while to have its input ready, then the input goes up a link
 * that carries one thing after another (the simulator's own, bench/simulator/access), and the reply comes down.
 */
import type { Application } from "../../protocol/application.ts";
import { AccessLink, LTE, WIFI, type AccessSpec } from "../simulator/access.ts";
import { EventQueue } from "../simulator/event-queue.ts";
import { lognormal, luck, Random } from "../simulator/random.ts";
import { makeWorkload, type Arrivals, type Offered, type User, type Workload } from "../simulator/workload.ts";

export const SHAPES = ["poisson", "mmpp2"] as const;
export type Shape = (typeof SHAPES)[number];

/** What a device needs until its input is ready to be sent: median milliseconds; the log-deviation is PREPARE_SPREAD. */
export const DEVICES = [
  { name: "laptop", prepareMs: 1 },
  { name: "phone", prepareMs: 5 },
  { name: "camera", prepareMs: 15 },
] as const;
const PREPARE_SPREAD = 0.2;
/** Names the draw of a request's preparation; the link's own draws have other names. */
const PREPARE_LUCK = 70;
export const LINKS = { LTE, WiFi: WIFI } as const;

/**
 * 9 times as much in a burst as in between, a quarter of the time, all users alike. Stays are shorter than the simulator's,
 * as runs are; rates are such that each trace as a whole has the mean that was asked for.
 */
const BURST = { factors: [1 / 3, 3], meanStayMs: [600, 200] } as const;

/** One-sided 95 %: what a client keeps back for the reply to travel. */
const Z95 = 1.64;

export type TraceUser = User & { access: AccessSpec; prepareMs: number };

/** `upMs`: from the intended arrival until all of it has reached the service. `reserveMs`: kept back for the reply. */
export type Way = { upMs: number; downMs: number; reserveMs: number };

export type Trace = {
  workload: Workload;
  /** By request. */
  ways: readonly Way[];
  /** Requests before are offered and not counted. */
  leadMs: number;
};

export type TraceOptions = {
  shape: Shape;
  /** Of all users together. */
  perS: number;
  leadMs: number;
  untilMs: number;
  seed: number;
};

/** Users with applications, devices and links in turn; what they have in common is only the deadline. */
export function usersOf(applications: readonly Application[], count: number, deadlineMs: number): TraceUser[] {
  return Array.from({ length: count }, (_, index) => ({
    index,
    name: `user-${index + 1}`,
    application: applications[index % applications.length] as Application,
    arrivals: { kind: "poisson", rate: 1 },
    deadlineMs,
    weight: 1,
    access: index % 2 === 0 ? LINKS.LTE : LINKS.WiFi,
    prepareMs: (DEVICES[index % DEVICES.length] as (typeof DEVICES)[number]).prepareMs,
  }));
}

/** `bytes` of a request's body, as it is sent. `inputs`: rows of an application's input table. */
export function makeTrace(
  users: readonly TraceUser[],
  { shape, perS, leadMs, untilMs, seed }: TraceOptions,
  inputs: (application: Application) => number,
  bytes: (request: Offered) => number,
): Trace {
  const arrivals = arrivalsOf(shape, perS / users.length, untilMs, seed);
  const workload = makeWorkload(
    users.map((user) => ({ ...user, arrivals })),
    seed,
    untilMs,
    inputs,
  );
  return { workload, ways: waysOf(workload, seed, bytes), leadMs };
}

/** The time left when a request reaches the service by plan, in whole milliseconds; what is below 1 is not sent at all. */
export function remainingMs({ user }: Offered, { upMs, reserveMs }: Way): number {
  return Math.floor(user.deadlineMs - upMs - reserveMs);
}

function arrivalsOf(shape: Shape, rate: number, untilMs: number, seed: number): Arrivals {
  if (shape === "poisson") return { kind: "poisson", rate };
  const random = new Random(seed, "arrivals bursts");
  const steps: { fromMs: number; factor: number }[] = [];
  let state: 0 | 1 = random.uniform() < 0.25 ? 1 : 0;
  let [fromMs, area] = [0, 0];
  while (fromMs < untilMs) {
    const factor = BURST.factors[state];
    const stayMs = random.exponential(BURST.meanStayMs[state]);
    steps.push({ fromMs, factor });
    area += factor * Math.min(stayMs, untilMs - fromMs);
    fromMs += stayMs;
    state = state === 0 ? 1 : 0;
  }
  const perFactor = (rate * untilMs) / area;
  return { kind: "steps", steps: steps.map(({ fromMs: at, factor }) => ({ fromMs: at, rate: perFactor * factor })) };
}

function waysOf({ users, requests, untilMs }: Workload, seed: number, bytes: (request: Offered) => number): Way[] {
  const events = new EventQueue();
  const links = users.map(({ index, access }) => new AccessLink(events, seed, `${index}`, access ?? WIFI, untilMs));
  const ways: Way[] = [];
  for (const request of requests) {
    const { id, atMs, user } = request;
    const { prepareMs, access } = user as TraceUser;
    const link = links[user.index] as AccessLink;
    const reserveMs = (access.rttMs / 2) * Math.exp(Z95 * access.jitter);
    const ready = atMs + prepareMs * lognormal(luck(seed, id, PREPARE_LUCK), PREPARE_SPREAD);
    events.at(ready, () => {
      link.up(id, bytes(request), () => {
        ways[id] = { upMs: events.now - atMs, downMs: link.way(id, "down"), reserveMs };
      });
    });
  }
  events.run(Number.MAX_SAFE_INTEGER);
  return ways;
}
