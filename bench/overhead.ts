/**
 * `npm run bench:overhead`: what serving costs over the bare model, on workerd directly and in one run. The same exit
 * of the same network is asked for in two ways, in turns, so that both meet the same machine:
 *
 *   full   POST /v1/infer with a PNG, pinned to the edge and to the exit: key, decoding, plan, run queue, model, report
 *   bare   the raw tensor to a minimal Worker with the same runtime and stages (bench/bare-worker)
 *
 * It also prints the wasm memory of every inference Worker with all its edge stages loaded. Exit code 1 past a budget.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseApplication } from "../nodes/parse-application.ts";
import type { LocalCluster } from "../scripts/local-cluster.ts";
import { ROOT } from "../scripts/workers.ts";
import { withCluster } from "./lib/bench-cluster.ts";
import { inSequence, throughput } from "./lib/closed-loop.ts";
import { ANSWER_BOUND_MS, encodeRequest, HttpConnection } from "./lib/http-connection.ts";
import { describeMachine } from "./lib/machine.ts";
import { memoryHeld } from "./lib/memory.ts";
import { median, quantile } from "./lib/statistics.ts";

const OVERHEAD_BUDGET_MS = 2;
/** The application measured; any image application of the vision platform would do. */
const APPLICATION = process.argv[2] ?? "clothing";
/** Generous, so that no request is cut short. */
const DEADLINE_MS = 5000;
const BLOCKS = 10;
const REQUESTS_PER_BLOCK = 60;
const WARM_UP_REQUESTS = 150;
const CONNECTIONS = 16;
const WINDOW_MS = 1000;

type Way = { name: "full" | "bare"; url: string; request: Buffer; tookMs: number[]; perS: number[] };

console.log(describeMachine());
const application = parseApplication(
  JSON.parse(await readFile(path.join(ROOT, "models", APPLICATION, "app.json"), "utf8")),
);
const passed = await withCluster({ extraWorkers: ["bench/bare-worker/wrangler.toml"] }, async (cluster) => {
  const { apiKey } = await cluster.createUser();
  const results: boolean[] = [];
  for (const rung of await measuredRungs(cluster, apiKey)) results.push(await compare(cluster, apiKey, rung));
  return [...results, await memoryHeld(cluster)].every(Boolean);
});
process.exitCode = passed ? 0 : 1;

type Pinned = { rung: number; image: Uint8Array };

/** The first edge exit, where overhead weighs most, and the deepest. Each with an image that a pinned request takes all the way there. */
async function measuredRungs(cluster: LocalCluster, apiKey: string): Promise<Pinned[]> {
  const edge = application.rungs.flatMap(({ tiers }, rung) => (tiers.includes("edge") ? [rung] : []));
  const wanted = [...new Set([edge[0], edge.at(-1)])].filter((rung) => rung !== undefined);
  const samples = path.join(ROOT, "models", APPLICATION, "samples");
  const files = Object.keys(JSON.parse(await readFile(path.join(samples, "labels.json"), "utf8")) as object);
  const images = await Promise.all(files.map(async (file) => new Uint8Array(await readFile(path.join(samples, file)))));
  const found: Pinned[] = [];
  for (const rung of wanted) {
    for (const image of images) {
      const signal = AbortSignal.timeout(ANSWER_BOUND_MS);
      const request = { method: "POST", headers: headers(apiKey), body: image, signal };
      const response = await fetch(fullUrl(cluster, rung), request);
      if (!response.ok) throw new Error(`answered ${response.status}: ${await response.text()}`);
      const { exit } = (await response.json()) as { exit: number };
      if (exit !== rung + 1) continue;
      found.push({ rung, image });
      break;
    }
    if (found.at(-1)?.rung !== rung)
      console.log(`exit ${rung + 1}: every sample is sure of its answer before; skipped`);
  }
  if (found.length === 0) throw new Error("no sample reached a pinned exit");
  return found;
}

async function compare(cluster: LocalCluster, apiKey: string, { rung, image }: Pinned): Promise<boolean> {
  const full = fullUrl(cluster, rung);
  const bare = `${cluster.urlOf("bench-bare")}/run/${APPLICATION}/${rung}`;
  // What is in a tensor does not change how long a dense network takes.
  const tensor = Uint8Array.from({ length: application.input.bytes }, (_, i) => (i * 37) % 251);
  const ways: Way[] = [
    { name: "full", url: full, request: encodeRequest("POST", full, headers(apiKey), image), tookMs: [], perS: [] },
    { name: "bare", url: bare, request: encodeRequest("POST", bare, {}, tensor), tookMs: [], perS: [] },
  ];
  const connections = await Promise.all(
    ways.map((way) => Promise.all(Array.from({ length: CONNECTIONS }, () => HttpConnection.open(way.url)))),
  );
  for (let block = -1; block < BLOCKS; block++) {
    for (const [i, way] of ways.entries()) {
      const first = connections[i]?.[0];
      if (!first) throw new Error("no connection");
      const tookMs = await inSequence(first, way.request, block < 0 ? WARM_UP_REQUESTS : REQUESTS_PER_BLOCK);
      if (block >= 0) way.tookMs.push(...tookMs);
    }
  }
  for (let block = 0; block < BLOCKS; block++) {
    for (const [i, way] of ways.entries()) {
      way.perS.push(await throughput(connections[i] ?? [], [way.request], WINDOW_MS));
    }
  }
  for (const connection of connections.flat()) connection.close();

  const [fullMs = 0, bareMs = 0] = ways.map((way) => median(way.tookMs));
  const [fullPerS = 0, barePerS = 0] = ways.map((way) => median(way.perS));
  const overheadMs = fullMs - bareMs;
  const held = overheadMs <= OVERHEAD_BUDGET_MS;
  console.log(`exit ${rung + 1} of ${APPLICATION}, ${BLOCKS * REQUESTS_PER_BLOCK} requests each way, in turns:`);
  for (const { name, tookMs, perS } of ways) {
    const [p50, p95] = [median(tookMs), quantile(tookMs, 0.95)].map((ms) => ms.toFixed(2));
    console.log(
      `  ${name}  median ${p50} ms, p95 ${p95} ms; ${Math.round(median(perS))} requests/s on ${CONNECTIONS} connections`,
    );
  }
  console.log(`  difference of medians ${overheadMs.toFixed(2)} ms; budget ${OVERHEAD_BUDGET_MS} ms: ${verdict(held)}`);
  console.log(`  throughput ratio full/bare ${(fullPerS / barePerS).toFixed(2)}`);
  return held;
}

/** Nothing is sure enough: on a full thread, too, the plan goes on to the last exit allowed. */
function fullUrl(cluster: LocalCluster, rung: number): string {
  const pinned = `tier=edge&max_exit=${rung + 1}&min_confidence=1`;
  return `${cluster.url}/v1/infer/${APPLICATION}?deadline_ms=${DEADLINE_MS}&${pinned}`;
}

function headers(apiKey: string): Record<string, string> {
  return { authorization: `Bearer ${apiKey}`, "content-type": "image/png" };
}

function verdict(held: boolean): string {
  return held ? "held" : "MISSED";
}
