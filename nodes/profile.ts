/**
 * Measures what each rung costs on this machine, through the same path that jobs take: the thread hop is part of the
 * price. Warm-up first (allocation, caches, clocks of the processor), then as many runs as the time allows.
 */
import { chain, largestGain } from "../control/ladder.ts";
import type { Application } from "../protocol/application.ts";
import type { NodeApplication, RungProfile } from "../protocol/fleet.ts";
import type { Start } from "../protocol/tensor.ts";
import { exampleInput } from "../runtime/normalise.ts";
import type { Compute } from "./compute.ts";
import { nodeRungs } from "./models.ts";

const WARM_UP_RUNS = 3;
const FEWEST_RUNS = 5;
const MOST_RUNS = 60;
/** What a further job in a run costs is measured between one and this many: about as many as wait together on a busy node. */
const BATCH = 8;
const BATCH_RUNS = 5;

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
  const together: number[][] = way.map(() => []);
  const endAt = performance.now() + budgetMs;
  for (let run = -WARM_UP_RUNS; run < MOST_RUNS && (run < FEWEST_RUNS || performance.now() < endAt); run++) {
    const times = await timeOnce(compute, application, way, 1);
    if (run < 0) continue;
    totals.push(times.reduce((sum, ms) => sum + ms, 0));
    times.forEach((ms, i) => stages[i]?.push(ms));
  }
  for (let run = -1; run < BATCH_RUNS; run++) {
    const times = await timeOnce(compute, application, way, BATCH);
    if (run >= 0) times.forEach((ms, i) => together[i]?.push(ms));
  }
  const stageMs = way.map((stage, i) => {
    const medianMs = quantile(stages[i] ?? [], 0.5);
    return { rung: stage, medianMs, marginalMs: micro(medianMs * marginalShare(stages[i] ?? [], together[i] ?? [])) };
  });
  const quality = application.rungs[rung]?.quality.validation ?? 0;
  const gain = largestGain(application, rung);
  return { medianMs: quantile(totals, 0.5), p95Ms: quantile(totals, 0.95), quality, gain, stageMs };
}

/**
 * What a further job in a run costs, as a share of a run alone, 0 to 1: by the fastest runs of either kind, because
 * whatever else the machine does only ever makes them slower.
 */
function marginalShare(alone: readonly number[], together: readonly number[]): number {
  const aloneMs = Math.min(...alone);
  return Math.min(1, Math.max(0, (Math.min(...together) - aloneMs) / (BATCH - 1) / aloneMs));
}

/** Milliseconds of each stage on the way, for `batch` jobs at once. Rejects when one of them fails. */
async function timeOnce(
  compute: Compute,
  application: Application,
  way: readonly number[],
  batch: number,
): Promise<number[]> {
  const ids = Array.from({ length: batch }, (_, i) => `profile-${i}`);
  const times: number[] = [];
  for (const [i, rung] of way.entries()) {
    const jobs = ids.map((id) => ({ id, start: i === 0 ? example(application) : null, topK: 1 }));
    const startedAt = performance.now();
    const ends = await compute.run({ application: application.name, rung, jobs });
    times.push(performance.now() - startedAt);
    const failed = ends.find((end) => "message" in end);
    if (failed) throw new Error(`${application.name}, rung ${rung}: ${failed.message}`);
  }
  for (const id of ids) compute.forget(id);
  return times;
}

const example = (application: Application): Start => ({ from: "input", input: exampleInput(application) });

/** Microseconds are all that a profile can promise, and they keep the announcement short. */
function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
  return micro(value);
}

function micro(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
