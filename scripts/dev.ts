/**
 * `npm run dev`: the hot-reload loop. wrangler serves every Worker on miniflare and rebuilds what changes; one node
 * agent dials in. For speed and for deadlines that mean something use `npm start`: wrangler's proxy costs about a
 * millisecond a request. PORT sets the port (default 8787); state is in .dystri/dev/.
 */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { WRANGLER, WRANGLER_ENV } from "./build.ts";
import { Child, terminate } from "./children.ts";
import { startNode } from "./local-node.ts";
import { assertPortFree } from "./local-cluster.ts";
import { Operator } from "./operator.ts";
import { poll } from "./poll.ts";
import { localSecrets } from "./secrets.ts";
import { ROOT, workerConfigs } from "./workers.ts";

const STATE = path.join(ROOT, ".dystri/dev");
const READY_BOUND_MS = 60_000;

try {
  const port = Number(process.env["PORT"] ?? 8787);
  await assertPortFree(port);
  await mkdir(STATE, { recursive: true });
  const secrets = await localSecrets(STATE);
  const envFile = path.join(STATE, "secrets.env");
  const lines = Object.entries(secrets).map(([name, value]) => `${name}="${value}"\n`);
  await writeFile(envFile, lines.join(""), { mode: 0o600 });

  const args = [
    "dev",
    ...workerConfigs().flatMap((config) => ["-c", config]),
    "--ip",
    "127.0.0.1",
    "--port",
    `${port}`,
  ];
  const state = ["--persist-to", path.join(STATE, "objects"), "--env-file", envFile];
  const options = { env: WRANGLER_ENV, onLine: (line: string) => console.log(line) };
  const wrangler = new Child("wrangler dev", process.execPath, [WRANGLER, ...args, ...state], options);

  const operator = new Operator(`http://127.0.0.1:${port}`, secrets.DYSTRI_ADMIN_TOKEN);
  await poll(READY_BOUND_MS, "the API did not become ready", wrangler, () => operator.unreadiness());
  const node = await startNode(operator, "node-1", path.join(STATE, "nodes/node-1"));
  const { apiKey } = await operator.createUser();
  console.log(`\nReady on ${operator.url}, node ${node.id} (pid ${node.pid}), key ${apiKey}. Sources are watched.`);
  void node.process.ended.then(({ how }) => console.log(`Node ${node.id} has ended: ${how}.`));
  await terminate((await wrangler.ended).code ?? 1);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  await terminate(1);
}
