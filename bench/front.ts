/**
 * `npm run bench:front`: requests per second through the whole front without a model. Every request is authenticated,
 * parsed, and planned by its user's controller in one Durable Object round trip. Closed loop over keep-alive
 * connections, no pipelining; client, API and objects share this machine.
 *
 * In turns with it, on the same workerd, two floors from bench/floor-worker: a Worker that only answers, and one that
 * makes the same round trip with nothing of ours in it. The budget is an absolute figure; what the floors say tells
 * this machine's share in it from ours. Exit code 1 below the budget.
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
const WINDOW_MS = 1500;
const WINDOWS = 7;

type Way = { name: string; requests: Buffer[]; connections: HttpConnection[]; perS: number[] };

console.log(describeMachine());
const ways = await withCluster({ extraWorkers: ["bench/floor-worker/wrangler.toml"] }, async (cluster) => {
  const sample = await firstSample();
  if (!sample) throw new Error("models/ has no application with samples");
  const plan = `${cluster.url}/v1/plan/${sample.application}?deadline_ms=5000`;
  const floor = cluster.urlOf("bench-floor");
  const users = await Promise.all(Array.from({ length: USERS }, () => cluster.createUser()));
  const post = (url: string, headers: Record<string, string>) => encodeRequest("POST", url, headers, new Uint8Array());
  const connect = (url: string) => Promise.all(Array.from({ length: CONNECTIONS }, () => HttpConnection.open(url)));
  const measured: Way[] = [
    {
      name: "front",
      requests: users.map(({ apiKey }) => post(plan, { authorization: `Bearer ${apiKey}` })),
      connections: await connect(plan),
      perS: [],
    },
    { name: "floor: object", requests: [post(`${floor}/object`, {})], connections: await connect(floor), perS: [] },
    { name: "floor: nothing", requests: [post(`${floor}/nothing`, {})], connections: await connect(floor), perS: [] },
  ];
  for (const { connections, requests } of measured) await throughput(connections, requests, WARM_UP_MS);
  for (let window = 0; window < WINDOWS; window++) {
    for (const way of measured) way.perS.push(await throughput(way.connections, way.requests, WINDOW_MS));
  }
  for (const connection of measured.flatMap((way) => way.connections)) connection.close();
  return measured;
});
for (const { name, perS } of ways) {
  const [low, high] = [Math.min(...perS), Math.max(...perS)].map(Math.round);
  console.log(
    `${name.padEnd(14)} median ${Math.round(median(perS))} requests/s, ${low} to ${high} in ${WINDOWS} windows`,
  );
}
const [front, object] = ways;
const perS = median(front?.perS ?? []);
const ratios = (front?.perS ?? []).map((rate, window) => rate / (object?.perS[window] ?? Number.NaN));
const passed = perS >= BUDGET_PER_S;
console.log(`front / floor with one object round trip: ${median(ratios).toFixed(2)}, median of ${WINDOWS} pairs`);
console.log(
  `front: ${Math.round(perS)} requests/s, ${CONNECTIONS} connections, ${USERS} users; ` +
    `budget ${BUDGET_PER_S}: ${passed ? "held" : "MISSED"}`,
);
process.exitCode = passed ? 0 : 1;
