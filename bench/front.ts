/**
 * `npm run bench:front`: requests per second through the whole front without a model. Every request is authenticated,
 * parsed, and planned by its user's controller in one Durable Object round trip. Closed loop over keep-alive
 * connections, no pipelining; client, API and objects share this machine. Exit code 1 below the budget.
 */
import { firstSample } from "../scripts/demo.ts";
import { withCluster } from "./lib/bench-cluster.ts";
import { throughput } from "./lib/closed-loop.ts";
import { encodeRequest, HttpConnection } from "./lib/http-connection.ts";
import { describeMachine } from "./lib/machine.ts";
import { median } from "./lib/statistics.ts";

const BUDGET_PER_S = 4000;
const CONNECTIONS = 64;
const USERS = 8;
const WARM_UP_MS = 3000;
const WINDOW_MS = 2000;
const WINDOWS = 7;

console.log(describeMachine());
const rates = await withCluster({}, async (cluster) => {
  const sample = await firstSample();
  if (!sample) throw new Error("models/ has no application with samples");
  const url = `${cluster.url}/v1/plan/${sample.application}?deadline_ms=100`;
  const users = await Promise.all(Array.from({ length: USERS }, () => cluster.createUser()));
  const requests = users.map(({ apiKey }) =>
    encodeRequest("POST", url, { authorization: `Bearer ${apiKey}` }, new Uint8Array()),
  );
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => HttpConnection.open(url)));
  await throughput(connections, requests, WARM_UP_MS);
  const measured: number[] = [];
  for (let i = 0; i < WINDOWS; i++) {
    const before = process.cpuUsage();
    const perS = await throughput(connections, requests, WINDOW_MS);
    const { user, system } = process.cpuUsage(before);
    const clientShare = (user + system) / 1000 / WINDOW_MS;
    console.log(`${Math.round(perS)} requests/s (client: ${Math.round(clientShare * 100)} % of a core)`);
    measured.push(perS);
  }
  for (const connection of connections) connection.close();
  return measured;
});
const perS = median(rates);
const passed = perS >= BUDGET_PER_S;
console.log(
  `front: median ${Math.round(perS)} requests/s of ${WINDOWS} windows, ${CONNECTIONS} connections, ${USERS} users; ` +
    `budget ${BUDGET_PER_S}: ${passed ? "held" : "MISSED"}`,
);
process.exitCode = passed ? 0 : 1;
