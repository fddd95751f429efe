/** What a piece of work costs on a node, by the profile the node announced: the same sums for gateway and agent. */
import type { NodeRegistration, RungProfile } from "../protocol/fleet.ts";
import { oncePer } from "./once.ts";

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
  /** Accuracy of the rung, as the node announced it. */
  quality: number;
};

/** All that a node can run of one application: by rung, then by start (0 is the input, n + 1 the cut of rung n). */
type ServedWork = { byRung: (RungWork | undefined)[][]; fullRun: { medianMs: number } };

/** By application. A registration says the same for as long as it stands: a node that has something else to say registers anew. */
const servedWork = oncePer((registration: NodeRegistration) => {
  const served = new Map<string, ServedWork>();
  for (const [application, { rungs }] of Object.entries(registration.applications)) {
    const work: ServedWork = { byRung: [], fullRun: { medianMs: 0 } };
    for (const [key, profile] of Object.entries(rungs)) {
      work.byRung[Number(key)] = worksOf(Number(key), profile);
      work.fullRun.medianMs = Math.max(work.fullRun.medianMs, profile.medianMs);
    }
    served.set(application, work);
  }
  return served;
});

function worksOf(rung: number, { medianMs, p95Ms, stageMs, quality }: RungProfile): (RungWork | undefined)[] {
  const spread = Math.max(1, p95Ms / Math.max(medianMs, 1e-6));
  const work = (ms: number, stages: StageWork[]): RungWork => ({
    rung,
    medianMs: ms,
    tailMs: ms * spread,
    stages,
    quality,
  });
  const works: (RungWork | undefined)[] = [work(medianMs, stageMs)];
  stageMs.slice(0, -1).forEach((stage, i) => {
    const rest = stageMs.slice(i + 1);
    works[stage.rung + 1] = work(batchMs(rest, 1), rest);
  });
  return works;
}

/** Null when the node does not serve the application, has no profile of the rung, or the rung does not resume from there. */
export function rungWork(
  registration: NodeRegistration,
  application: string,
  from: "input" | number,
  rung: number,
): RungWork | null {
  const work = servedWork(registration).get(application);
  return work?.byRung[rung]?.[from === "input" ? 0 : from + 1] ?? null;
}

/** The rungs a job may end at, best first: from `rung` down to `minRung`, those the node can run from there. */
export function candidates(
  registration: NodeRegistration,
  job: { application: string; from: "input" | number; rung: number; minRung: number },
): RungWork[] {
  const found: RungWork[] = [];
  for (let rung = job.rung; rung >= job.minRung; rung--) {
    const work = rungWork(registration, job.application, job.from, rung);
    if (work) found.push(work);
  }
  return found;
}

/** Median milliseconds of these stages run for `batch` jobs at once. */
export function batchMs(stages: readonly StageWork[], batch: number): number {
  return stages.reduce((sum, { medianMs, marginalMs }) => sum + medianMs + (batch - 1) * marginalMs, 0);
}

const NOTHING = { medianMs: 0 };

/** The longest run an application has there, from the input. 0 where it is not served. */
export function fullRun(registration: NodeRegistration, application: string): { medianMs: number } {
  return servedWork(registration).get(application)?.fullRun ?? NOTHING;
}
