/** What a piece of work costs on a node, by the profile the node announced: the same sums for gateway and agent. */
import type { NodeRegistration } from "../protocol/fleet.ts";

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

/** Null when the node does not serve the application, has no profile of the rung, or the rung does not resume from there. */
export function rungWork(
  registration: NodeRegistration,
  application: string,
  from: "input" | number,
  rung: number,
): RungWork | null {
  if (!Object.hasOwn(registration.applications, application)) return null;
  const rungs = registration.applications[application]?.rungs ?? {};
  const profile = Object.hasOwn(rungs, String(rung)) ? rungs[String(rung)] : undefined;
  if (!profile) return null;
  const spread = Math.max(1, profile.p95Ms / Math.max(profile.medianMs, 1e-6));
  if (from === "input") {
    return { rung, medianMs: profile.medianMs, tailMs: profile.medianMs * spread, stages: profile.stageMs };
  }
  const at = profile.stageMs.findIndex((stage) => stage.rung === from);
  const rest = at < 0 ? [] : profile.stageMs.slice(at + 1);
  if (rest.length === 0) return null;
  const medianMs = batchMs(rest, 1);
  return { rung, medianMs, tailMs: medianMs * spread, stages: rest };
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

/** The longest run an application has there, from the input. 0 where it is not served. */
export function fullRun(registration: NodeRegistration, application: string): { medianMs: number } {
  const rungs = registration.applications[application]?.rungs ?? {};
  return { medianMs: Object.values(rungs).reduce((most, { medianMs }) => Math.max(most, medianMs), 0) };
}
