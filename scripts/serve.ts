/** What `npm start` runs once packages are there: the system on this machine, with a node and a demo user, until Ctrl-C. */
import { createWriteStream } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { terminate } from "./children.ts";
import { curlLine, demoKey, firstSample, warmUp } from "./demo.ts";
import { LocalCluster } from "./local-cluster.ts";
import type { NodeHandle } from "./local-node.ts";
import { ROOT } from "./workers.ts";

const STATE = path.join(ROOT, ".dystri");
const DEV_JSON = path.join(STATE, "dev.json");
/** Ctrl-C in a terminal reaches every process at once: only an end that is not part of ours is news. */
const NEWS_DELAY_MS = 300;

/** What other tools on this machine read to find the running system. */
type DevJson = { url: string; apiKey: string; nodes: { id: string; pid: number }[] };

try {
  await serve(portFromEnv());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  await terminate(1);
}

async function serve(port: number): Promise<void> {
  const startedAt = performance.now();
  await assertNotRunning();
  await mkdir(STATE, { recursive: true });
  await rm(DEV_JSON, { force: true });
  const log = createWriteStream(path.join(STATE, "workerd.log"));
  const cluster = new LocalCluster({
    stateDir: STATE,
    port,
    nodes: 1,
    onProgress: (line) => console.log(line),
    onLog: (line, source) => {
      log.write(`${line}\n`);
      if (source === "stderr") console.error(`workerd: ${line}`);
    },
  });
  await cluster.start();
  for (const node of cluster.nodes) reportEnd(cluster, node);
  void cluster.workerd.ended.then(({ how }) => endWith(cluster, how));

  const sample = await firstSample();
  const apiKey = await demoKey(cluster.operator, path.join(STATE, "demo-key"), sample);
  if (sample) await warmUp(cluster.url, apiKey, sample);
  const nodes = cluster.nodes.map(({ id, pid }) => ({ id, pid }));
  await writeFile(DEV_JSON, `${JSON.stringify({ url: cluster.url, apiKey, nodes } satisfies DevJson, null, 2)}\n`);

  console.log(
    `\nDystri is ready on ${cluster.url} (after ${((performance.now() - startedAt) / 1000).toFixed(1)} s).\n`,
  );
  if (sample) console.log(`${curlLine(cluster.url, apiKey, sample)}\n`);
  for (const { id, pid } of nodes) console.log(`Node ${id} is online (pid ${pid}).`);
  console.log("Ctrl-C ends everything.");
}

function portFromEnv(): number {
  const text = process.env["PORT"] ?? "8787";
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65535) return port;
  console.error(`PORT is "${text}": give a number from 1 to 65535.`);
  process.exit(1);
}

/** Two systems on one folder would spoil each other's objects. */
async function assertNotRunning(): Promise<void> {
  const text = await readFile(DEV_JSON, "utf8").catch(() => null);
  if (text === null) return;
  const { url } = JSON.parse(text) as DevJson;
  const answer = await fetch(`${url}/v2/health/live`, { signal: AbortSignal.timeout(1000) }).catch(() => null);
  if (answer?.ok) throw new Error(`Dystri is already running from this folder, on ${url}: end it first.`);
}

function reportEnd(cluster: LocalCluster, node: NodeHandle): void {
  void node.process.ended.then(({ how }) => {
    setTimeout(() => {
      if (!cluster.stopping) console.log(`Node ${node.id} (pid ${node.pid}) has ended: ${how}. It is not restarted.`);
    }, NEWS_DELAY_MS);
  });
}

function endWith(cluster: LocalCluster, how: string): void {
  setTimeout(() => {
    if (cluster.stopping) return;
    console.error(`workerd has ended (${how}):\n${cluster.workerd.tail}`);
    void terminate(1);
  }, NEWS_DELAY_MS);
}
