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

/** A rung's work from each place it can start at. */
type Starts = { whole: RungWork; fromCut: ReadonlyMap<number, RungWork> };

/** All that a node can run of one application, by rung. */
export type ServedWork = { byRung: ReadonlyMap<number, Starts>; fullRun: { medianMs: number } };

/** A registration says the same for as long as it stands: a node that has something else to say registers anew. */
const SERVED = new WeakMap<NodeRegistration, Map<string, ServedWork>>();
const UNSERVED: ServedWork = { byRung: new Map(), fullRun: { medianMs: 0 } };

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
  const byRung = new Map(
    Object.entries(announced.rungs).map(([rung, profile]) => [Number(rung), startsOf(Number(rung), profile)]),
  );
  const medianMs = Object.values(announced.rungs).reduce((most, profile) => Math.max(most, profile.medianMs), 0);
  const work = { byRung, fullRun: { medianMs } };
  served.set(application, work);
  return work;
}

function startsOf(rung: number, { medianMs, p95Ms, stageMs }: RungProfile): Starts {
  const spread = Math.max(1, p95Ms / Math.max(medianMs, 1e-6));
  const from = (ms: number, stages: StageWork[]): RungWork => ({ rung, medianMs: ms, tailMs: ms * spread, stages });
  const rests = stageMs.slice(0, -1).map((stage, i): [number, RungWork] => {
    const rest = stageMs.slice(i + 1);
    return [stage.rung, from(batchMs(rest, 1), rest)];
  });
  return { whole: from(medianMs, stageMs), fromCut: new Map(rests) };
}

/** The work to the answer of `rung` from there; null when the node has no profile of the rung, or it does not resume from there. */
export function workFrom({ byRung }: ServedWork, from: "input" | number, rung: number): RungWork | null {
  const starts = byRung.get(rung);
  if (!starts) return null;
  return from === "input" ? starts.whole : (starts.fromCut.get(from) ?? null);
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
