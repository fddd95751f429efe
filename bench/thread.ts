/**
 * `npm run bench:thread`: what workerd's one thread spends on a request, and what stops it.
 *
 *   1. CPU time of that thread per request, by the way requests go (Linux: /proc/…/schedstat). control/machine.ts takes from
 *      it what asking the edge and asking a node cost.
 *   2. Latency of the first exit at a steady rate, open loop, with the collector's flags of scripts/workerd-config.ts and with
 *      V8's own way, in turns: each run is a workerd of its own.
 *
 *     npm run bench:thread                  … --rate 250  --seconds 20  --rounds 2
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { LocalCluster } from "../scripts/local-cluster.ts";
import { V8_FLAGS } from "../scripts/workerd-config.ts";
import { ROOT } from "../scripts/workers.ts";
import { readValues, runCommand, wholeNumber } from "./command-line/options.ts";
import { withCluster } from "./lib/bench-cluster.ts";
import { inSequence } from "./lib/closed-loop.ts";
import { encodeRequest, HttpConnection } from "./lib/http-connection.ts";
import { describeMachine } from "./lib/machine.ts";
import { median, quantile } from "./lib/statistics.ts";
import { Connections } from "./live/connections.ts";
import { table } from "./simulator/table.ts";

const APPLICATION = "clothing";
const SAMPLE = "shirt-4.png";
/** Generous: nothing is cut short or turned away. */
const PATIENT_MS = 5000;
/** What answers are held against. */
const DEADLINE_MS = 100;

const WAYS = [
  { name: "nothing (GET /v2/health/live)", route: null },
  { name: "a plan alone", route: "plan" },
  { name: "first exit at the edge", route: "infer", query: "&tier=edge&max_exit=1" },
  { name: "a node at once", route: "infer", query: "&tier=node" },
  { name: "deepest exit wanted, as planned", route: "infer", query: "&min_confidence=1" },
] as const;
const AT_ONCE = 16;
/** Requests of each connection. */
const WARM_UP_EACH = 100;
const BLOCK_EACH = 50;
const BLOCKS = 5;
const OPEN_WARM_UP_MS = 3000;

await runCommand("bench:thread", async (args) => {
  const declared = { rate: { type: "string" }, seconds: { type: "string" }, rounds: { type: "string" } } as const;
  const values = readValues(args, declared);
  const rate = wholeNumber("--rate", values.rate ?? "250", 1, 2000);
  const seconds = wholeNumber("--seconds", values.seconds ?? "20", 1, 600);
  const rounds = wholeNumber("--rounds", values.rounds ?? "2", 1, 20);
  console.log(describeMachine());
  if (process.platform === "linux") await withCluster({ nodes: 1 }, cpuByWay);
  else console.log("CPU time by thread is read from /proc, which this system does not have: left out");
  await pauses(rate, seconds, rounds);
});

async function cpuByWay(cluster: LocalCluster): Promise<void> {
  const { apiKey } = await cluster.createUser();
  const requests = await Promise.all(WAYS.map((way) => encodeWay(cluster, apiKey, way)));
  const connections = await Promise.all(Array.from({ length: AT_ONCE }, () => HttpConnection.open(cluster.url)));
  const send = async (request: Buffer, each: number): Promise<void> =>
    void (await Promise.all(connections.map((connection) => inSequence(connection, request, each))));
  try {
    for (const request of requests) await send(request, WARM_UP_EACH);
    const usedUs: number[][] = WAYS.map(() => []);
    for (let block = 0; block < BLOCKS; block++) {
      for (const [way, request] of requests.entries()) {
        const before = await threadUs(cluster.workerd.pid);
        await send(request, BLOCK_EACH);
        usedUs[way]?.push(((await threadUs(cluster.workerd.pid)) - before) / (AT_ONCE * BLOCK_EACH));
      }
    }
    console.log(
      `\n${APPLICATION}, ${AT_ONCE} requests at once: CPU of workerd's thread by request, median of ${BLOCKS} blocks of ${AT_ONCE * BLOCK_EACH}`,
    );
    const rows = WAYS.map(({ name }, way) => {
      const us = usedUs[way] ?? [];
      return [name, median(us).toFixed(0), `${Math.min(...us).toFixed(0)} to ${Math.max(...us).toFixed(0)}`];
    });
    console.log(table(["way", "µs", "blocks"], rows));
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** CPU time of the process's first thread so far. */
async function threadUs(pid: number): Promise<number> {
  const [ranNs] = (await readFile(`/proc/${pid}/task/${pid}/schedstat`, "utf8")).split(" ");
  return Number(ranNs) / 1000;
}

async function encodeWay(cluster: LocalCluster, apiKey: string, way: (typeof WAYS)[number]): Promise<Buffer> {
  if (way.route === null) return encodeRequest("GET", `${cluster.url}/v2/health/live`, {}, new Uint8Array());
  const query = "query" in way ? way.query : "";
  const url = `${cluster.url}/v1/${way.route}/${APPLICATION}?deadline_ms=${PATIENT_MS}${query}`;
  const body = way.route === "plan" ? new Uint8Array() : await sample();
  return encodeRequest("POST", url, { authorization: `Bearer ${apiKey}`, "content-type": "image/png" }, body);
}

async function sample(): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path.join(ROOT, "models", APPLICATION, "samples", SAMPLE)));
}

async function expectOk(connections: Connections, request: Buffer): Promise<void> {
  const { status, body } = await connections.request(request);
  if (status !== 200) throw new Error(`answered ${status}: ${body.toString("utf8").slice(0, 500)}`);
}

/** Latencies with each collector, from all rounds together. */
async function pauses(rate: number, seconds: number, rounds: number): Promise<void> {
  const collectors = [
    { name: V8_FLAGS.join(" "), v8Flags: V8_FLAGS, tookMs: [] as number[] },
    { name: "V8's own way", v8Flags: [], tookMs: [] as number[] },
  ];
  for (let round = 0; round < rounds; round++) {
    for (const { v8Flags, tookMs } of collectors) {
      await withCluster({ v8Flags }, async (cluster) => {
        const { apiKey } = await cluster.createUser();
        const request = await encodeWay(cluster, apiKey, WAYS[2]);
        await openLoop(cluster, request, rate, OPEN_WARM_UP_MS);
        for (const ms of await openLoop(cluster, request, rate, 1000 * seconds)) tookMs.push(ms);
      });
    }
  }
  console.log(
    `\n${APPLICATION}, first exit at the edge, ${rate} requests/s evenly for ${seconds} s, ${rounds} times: ms from the intended time`,
  );
  const rows = collectors.map(({ name, tookMs }) => [
    name,
    ...[0.5, 0.99, 0.999, 1].map((q) => quantile(tookMs, q).toFixed(1)),
    ((100 * tookMs.filter((ms) => ms > DEADLINE_MS).length) / tookMs.length).toFixed(2),
  ]);
  console.log(table(["collector", "p50", "p99", "p99.9", "most", `over ${DEADLINE_MS} ms, %`], rows));
}

/** Milliseconds of each request from its intended time, whatever became of those before. */
async function openLoop(cluster: LocalCluster, request: Buffer, rate: number, forMs: number): Promise<number[]> {
  const connections = new Connections(cluster.url);
  try {
    const startAt = performance.now() + 20;
    const sent: Promise<number>[] = [];
    for (let i = 0; i < (rate * forMs) / 1000; i++) {
      const at = startAt + (1000 * i) / rate;
      const waitMs = at - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const took = expectOk(connections, request).then(() => performance.now() - at);
      // A failure ends the bench where they are all awaited.
      took.catch(() => undefined);
      sent.push(took);
    }
    return await Promise.all(sent);
  } finally {
    connections.close();
  }
}
