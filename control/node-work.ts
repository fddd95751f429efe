/** What a piece of work costs on a node, by the profile the node announced: the same sums for gateway and agent. */
import type { NodeRegistration } from "../protocol/fleet.ts";

export type RungWork = {
  rung: number;
  /** Median milliseconds by profile. */
  medianMs: number;
  /** The 95th percentile: what a decision about one piece alone is made on. */
  tailMs: number;
  /** Rungs whose stages run, in order; the last is `rung`. */
  way: number[];
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
  const tail = Math.max(1, profile.p95Ms / Math.max(profile.medianMs, 1e-6));
  if (from === "input") {
    return {
      rung,
      medianMs: profile.medianMs,
      tailMs: profile.medianMs * tail,
      way: profile.stageMs.map((s) => s.rung),
    };
  }
  const at = profile.stageMs.findIndex((stage) => stage.rung === from);
  const rest = at < 0 ? [] : profile.stageMs.slice(at + 1);
  if (rest.length === 0) return null;
  const medianMs = rest.reduce((sum, stage) => sum + stage.medianMs, 0);
  return { rung, medianMs, tailMs: medianMs * tail, way: rest.map((stage) => stage.rung) };
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
