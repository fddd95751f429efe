/**
 * Clients that leave. workerd tells of a connection that was reset, as a stream of HTTP/2 or a process that is gone resets it;
 * one that is only half closed may still be read from, and is answered.
 */
import net from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { encodeRequest } from "../../bench/lib/http-connection.ts";
import { System, type Sample } from "./support.ts";

const CLIENTS = 8;
const DEADLINE = "deadline_ms=9000&tier=node";

let system: System;
let unsure: Sample[];
let left = 0;

beforeAll(async () => {
  const onLog = (line: string): void => void (left += line.includes('"event":"client_left"') ? 1 : 0);
  system = await System.start({ nodes: 1, onLog });
  ({ unsure } = await system.sortByConfidence());
});
afterAll(() => system?.close());

/** A request on a connection of its own. */
async function sent(sample: Sample): Promise<net.Socket> {
  const socket = net.connect(Number(new URL(system.cluster.url).port), "127.0.0.1");
  socket.on("error", () => undefined);
  const headers = { authorization: `Bearer ${system.apiKey}`, "content-type": "image/png", connection: "close" };
  const url = `${system.cluster.url}/v1/infer/clothing?${DEADLINE}`;
  const bytes = encodeRequest("POST", url, headers, new Uint8Array(sample.png));
  await new Promise<void>((resolve) => void socket.write(bytes, () => resolve()));
  return socket;
}

test("a client that resets its connection is noticed while a node has its work, and nobody is worse for it", async () => {
  await system.untilNodeAnswers(unsure[0] as Sample);
  const [agent] = system.cluster.nodes;
  if (!agent) throw new Error("no agent");
  // A stopped agent answers nothing, so that what is sent now is in flight for certain when its clients leave.
  process.kill(agent.pid, "SIGSTOP");
  const sockets = await Promise.all(Array.from({ length: CLIENTS }, () => sent(unsure[0] as Sample)));
  // Due later, so the edge runs it last; once it is answered, the others have been taken in.
  await system.infer(unsure[0] as Sample, "deadline_ms=10000&tier=edge&max_exit=1");
  for (const socket of sockets) socket.resetAndDestroy();
  await expect.poll(() => left, { timeout: 10_000 }).toBe(CLIENTS);
  process.kill(agent.pid, "SIGCONT");
  expect(await system.untilNodeAnswers(unsure[0] as Sample)).toMatchObject({ degraded: false });
});

test("a client that only says that it will send no more is answered", async () => {
  const socket = await sent(unsure[0] as Sample);
  socket.end();
  let answer = "";
  for await (const part of socket) answer += String(part);
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer).toContain('"deadline_met":true');
  expect(left).toBe(CLIENTS);
});
