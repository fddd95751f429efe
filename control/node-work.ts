/** What a piece of work costs on a node, by the profile the node announced: the same sums for gateway and agent. */
import type { NodeRegistration, RungProfile } from "../protocol/fleet.ts";

/** One stage: of the rung it belongs to, alone, and what every further job in the same run adds. */
export type StageWork = { rung: number; medianMs: number; marginalMs: number };

export type RungWork = {
  rung: number;
  /** Median milliseconds by profile. */
  medianMs: number;
  /** The 95th percentile: what a decision about one piece alone is made on. */
  tailMs: number;
  /** Stages to run, in order; the last is that of `rung`. */
  stages: StageWork[];
};

/** All that a node can run of one application: by rung, then by start (0 is the input, n + 1 the cut of rung n). */
export type ServedWork = { byRung: (RungWork | undefined)[][]; fullRun: { medianMs: number } };

/** A registration says the same for as long as it stands: a node that has something else to say registers anew. */
const SERVED = new WeakMap<NodeRegistration, Map<string, ServedWork>>();
const UNSERVED: ServedWork = { byRung: [], fullRun: { medianMs: 0 } };

/** What a node can run of an application: nothing where it does not serve it. */
export function servedWork(registration: NodeRegistration, application: string): ServedWork {
  let served = SERVED.get(registration);
  if (!served) SERVED.set(registration, (served = new Map<string, ServedWork>()));
  const known = served.get(application);
  if (known) return known;
  const announced = Object.hasOwn(registration.applications, application)
    ? registration.applications[application]
    : undefined;
  if (!announced) return UNSERVED;
  const work: ServedWork = { byRung: [], fullRun: { medianMs: 0 } };
  for (const [key, profile] of Object.entries(announced.rungs)) {
    work.byRung[Number(key)] = worksOf(Number(key), profile);
    work.fullRun.medianMs = Math.max(work.fullRun.medianMs, profile.medianMs);
  }
  served.set(application, work);
  return work;
}

function worksOf(rung: number, { medianMs, p95Ms, stageMs }: RungProfile): (RungWork | undefined)[] {
  const spread = Math.max(1, p95Ms / Math.max(medianMs, 1e-6));
  const work = (ms: number, stages: StageWork[]): RungWork => ({ rung, medianMs: ms, tailMs: ms * spread, stages });
  const works: (RungWork | undefined)[] = [work(medianMs, stageMs)];
  stageMs.slice(0, -1).forEach((stage, i) => {
    const rest = stageMs.slice(i + 1);
    works[stage.rung + 1] = work(batchMs(rest, 1), rest);
  });
  return works;
}

/** The work to the answer of `rung` from there; null when the node has no profile of the rung, or it does not resume from there. */
export function workFrom({ byRung }: ServedWork, from: "input" | number, rung: number): RungWork | null {
  return byRung[rung]?.[from === "input" ? 0 : from + 1] ?? null;
}

/** The same by the node's registration. */
export function rungWork(
  registration: NodeRegistration,
  application: string,
  from: "input" | number,
  rung: number,
): RungWork | null {
  return workFrom(servedWork(registration, application), from, rung);
}

/** The rungs a job may end at, best first: from `rung` down to `minRung`, those the node can run from there. */
export function candidates(
  registration: NodeRegistration,
  job: { application: string; from: "input" | number; rung: number; minRung: number },
): RungWork[] {
  const served = servedWork(registration, job.application);
  const found: RungWork[] = [];
  for (let rung = job.rung; rung >= job.minRung; rung--) {
    const work = workFrom(served, job.from, rung);
    if (work) found.push(work);
  }
  return found;
}

/** Median milliseconds of these stages run for `batch` jobs at once. */
export function batchMs(stages: readonly StageWork[], batch: number): number {
  return stages.reduce((sum, { medianMs, marginalMs }) => sum + medianMs + (batch - 1) * marginalMs, 0);
}

/** The longest run an application has there, from the input. 0 where it is not served. */
export function fullRun(registration: NodeRegistration, application: string): { medianMs: number } {
  return servedWork(registration, application).fullRun;
}
