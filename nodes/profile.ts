/**
 * Measures what each rung costs on this machine, through the same path that jobs take: the thread hop is part of the
 * price. Warm-up first (allocation, caches, clocks of the processor), then as many runs as the time allows.
 */
import { chain } from "../control/ladder.ts";
import type { Application } from "../protocol/application.ts";
import type { NodeApplication, RungProfile } from "../protocol/fleet.ts";
import type { Start } from "../protocol/tensor.ts";
import { exampleInput } from "../runtime/normalise.ts";
import type { Compute } from "./compute.ts";
import { nodeRungs } from "./models.ts";

const WARM_UP_RUNS = 3;
const FEWEST_RUNS = 5;
const MOST_RUNS = 60;

/** Profiles of every application the thread has loaded; about `budgetMs` in all, more where a rung is slow. */
export async function profile(compute: Compute, budgetMs: number): Promise<Record<string, NodeApplication>> {
  const result: Record<string, NodeApplication> = {};
  const rungs = compute.applications.reduce((sum, application) => sum + nodeRungs(application).length, 0);
  for (const application of compute.applications) {
    const profiles: [string, RungProfile][] = [];
    for (const rung of nodeRungs(application)) {
      profiles.push([String(rung), await profileRung(compute, application, rung, budgetMs / rungs)]);
    }
    result[application.name] = { version: application.version, rungs: Object.fromEntries(profiles) };
  }
  return result;
}

async function profileRung(
  compute: Compute,
  application: Application,
  rung: number,
  budgetMs: number,
): Promise<RungProfile> {
  const way = chain(application, rung, "input") ?? [rung];
  const totals: number[] = [];
  const stages: number[][] = way.map(() => []);
  const endAt = performance.now() + budgetMs;
  for (let run = -WARM_UP_RUNS; run < MOST_RUNS && (run < FEWEST_RUNS || performance.now() < endAt); run++) {
    const times = await timeOnce(compute, application, way, `profile-${application.name}-${rung}-${run}`);
    if (run < 0) continue;
    totals.push(times.reduce((sum, ms) => sum + ms, 0));
    times.forEach((ms, i) => stages[i]?.push(ms));
  }
  const stageMs = way.map((stage, i) => ({ rung: stage, medianMs: quantile(stages[i] ?? [], 0.5) }));
  return { medianMs: quantile(totals, 0.5), p95Ms: quantile(totals, 0.95), stageMs };
}

async function timeOnce(
  compute: Compute,
  application: Application,
  way: readonly number[],
  id: string,
): Promise<number[]> {
  const times: number[] = [];
  for (const [i, rung] of way.entries()) {
    const startedAt = performance.now();
    await compute.run({
      id,
      application: application.name,
      start: i === 0 ? example(application) : null,
      rung,
      topK: 1,
    });
    times.push(performance.now() - startedAt);
  }
  compute.forget(id);
  return times;
}

const example = (application: Application): Start => ({ from: "input", input: exampleInput(application) });

/** Microseconds are all that a profile can promise, and they keep the announcement short. */
function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
  return Math.round(value * 1000) / 1000;
}
