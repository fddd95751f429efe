/** What one machine can run of each ladder, and what that takes by its own profile. */
import { batchMs, rungWork, type StageWork } from "../../../control/node-work.ts";
import { chain, rungAt, type From } from "../../../control/ladder.ts";
import type { Application } from "../../../protocol/application.ts";
import type { NodeRegistration } from "../../../protocol/fleet.ts";

/** p95 over median of a profile: what nodes announce, taken for isolates and devices as well. */
export const SPREAD = 1.15;

export type Work = { rung: number; stages: StageWork[]; accuracy: number };

/** Stages of an isolate or a device; batching gains nothing there. */
export function localWork(
  application: Application,
  tier: "edge" | "device",
  pace: number,
  rung: number,
  from: From,
): Work | null {
  const way = chain(application, rung, from);
  if (!way?.every((stage) => rungAt(application, stage).tiers.includes(tier))) return null;
  const stages = way.map((stage) => {
    const medianMs = pace * rungAt(application, stage).referenceMs.edge;
    return { rung: stage, medianMs, marginalMs: medianMs };
  });
  return { rung, stages, accuracy: rungAt(application, rung).quality.validation };
}

export function nodeWork(
  registration: NodeRegistration,
  application: Application,
  rung: number,
  from: From,
): Work | null {
  if (!rungAt(application, rung).tiers.includes("node")) return null;
  const work = rungWork(registration, application.name, from, rung);
  return work && { rung, stages: work.stages, accuracy: rungAt(application, rung).quality.validation };
}

/** The ways that are worth having: quickest first, each better than all quicker ones. */
export function frontier(works: readonly (Work | null)[]): Work[] {
  const sorted = works
    .filter((work) => work !== null)
    .sort((a, b) => batchMs(a.stages, 1) - batchMs(b.stages, 1) || b.accuracy - a.accuracy);
  const found: Work[] = [];
  for (const work of sorted) if (work.accuracy > (found.at(-1)?.accuracy ?? 0)) found.push(work);
  return found;
}
