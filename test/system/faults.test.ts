/**
 * Faults of the platform and of agents, made for real with requests in flight: objects evicted, all objects aborted, an
 * agent frozen, a coordinator that throws. Whatever happens, every request has one answer, its own, and in time; and
 * the node is used again afterwards. What these tests do not show is how often and where a deployed platform does so.
 */
import { globSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PROBE_EVERY_MS } from "../../control/fleet.ts";
import { System, type Reply, type Sample } from "./support.ts";

/** Long enough to see a node lost (three beats and a probe) and go on elsewhere. */
const DEADLINE = "deadline_ms=8000";
const RECOVERY_BOUND_MS = 15_000;
const OBJECT_FILE = /^([0-9a-f]{64})\.sqlite$/;

const CLASSES = {
  UserController: "USER_CONTROLLER",
  NodeGateway: "NODE_GATEWAY",
  Coordinator: "COORDINATOR",
} as const;
type ClassName = keyof typeof CLASSES;

let system: System;
let unsure: Sample[];
let sure: Sample[];
/** By sample and exit: its label where nothing fails. */
const labels = new Map<string, string>();

const keyOf = (sample: Sample, exit: number): string => `${sample.file} at exit ${exit}`;

beforeAll(async () => {
  system = await System.start({
    nodes: 1,
    extraWorkers: ["test/fault-worker/wrangler.toml"],
    experimental: true,
  });
  ({ unsure, sure } = await system.sortByConfidence());
  expect(unsure.length).toBeGreaterThan(1);
  expect(sure.length).toBeGreaterThan(1);
  const { exit: deepest } = await system.untilNodeAnswers(unsure[0] as Sample);
  for (let exit = 1; exit <= deepest; exit++) {
    const query = `${DEADLINE}&max_exit=${exit}&min_confidence=1`;
    const replies = await Promise.all(unsure.map((sample) => system.infer(sample, query)));
    replies.forEach((reply, i) => labels.set(keyOf(unsure[i] as Sample, reply.exit), reply.label));
  }
  expect(labels.size).toBe(unsure.length * deepest);
});
afterAll(() => system?.close());

/** The samples over and over, `count` requests at once. Rejects unless each is answered in time with its own label. */
async function ask(count: number): Promise<Reply[]> {
  const asked = Array.from({ length: count }, (_, i) => unsure[i % unsure.length] as Sample);
  const replies = await Promise.all(asked.map((sample) => system.infer(sample, DEADLINE)));
  for (const [i, reply] of replies.entries()) {
    expect(reply.deadline_met).toBe(true);
    expect(reply.label).toBe(labels.get(keyOf(asked[i] as Sample, reply.exit)));
  }
  return replies;
}

const onNode = (replies: readonly Reply[]): number => replies.filter(({ tier }) => tier === "node").length;

function signal(name: NodeJS.Signals): void {
  const [agent] = system.cluster.nodes;
  if (!agent) throw new Error("no agent");
  process.kill(agent.pid, name);
}

/** Requests that wait for the node for certain: a frozen agent answers nothing. */
async function inFlight(count: number): Promise<Promise<Reply[]>[]> {
  await system.untilNodeAnswers(unsure[0] as Sample);
  signal("SIGSTOP");
  const asked = ask(count);
  // Due later, so the edge runs these last; once they are answered, the others have passed the edge.
  await Promise.all(sure.map((sample) => system.infer(sample, "deadline_ms=20000&tier=edge&max_exit=1")));
  // In a list, or awaiting this would await the requests.
  return [asked];
}

async function fault(route: string): Promise<void> {
  const response = await fetch(system.cluster.urlOf("dystri-test-faults") + route, { method: "POST" });
  if (!response.ok) throw new Error(`${route}: ${response.status} ${await response.text()}`);
  await response.body?.cancel();
}

/** Files of the objects of a class, by id. */
function objectsOf(className: ClassName): Map<string, string> {
  const files = globSync(`*-${className}/*.sqlite`, { cwd: system.cluster.objectsFolder });
  const found = files.flatMap((file) => {
    const id = OBJECT_FILE.exec(path.basename(file))?.[1];
    return id === undefined ? [] : [[id, path.join(system.cluster.objectsFolder, file)] as const];
  });
  expect(found.length).toBe(1);
  return new Map(found);
}

/** Resolves when the objects of a class have left memory. */
async function evict(className: ClassName): Promise<void> {
  await Promise.all([...objectsOf(className).keys()].map((id) => fault(`/evict/${CLASSES[className]}/${id}`)));
}

async function expectOnline(): Promise<void> {
  expect(await system.cluster.operator.nodeState("node-1")).toBe("online");
}

/** Batch after batch, until one is as it should come to be. `probes`: how many may hold a node where views are old. */
async function askUntil(what: string, done: (replies: readonly Reply[], probes: number) => boolean): Promise<void> {
  for (const until = Date.now() + RECOVERY_BOUND_MS; Date.now() < until;) {
    const startedAt = performance.now();
    const replies = await ask(12);
    if (done(replies, 1 + Math.floor((performance.now() - startedAt) / PROBE_EVERY_MS))) return;
  }
  throw new Error(`within ${RECOVERY_BOUND_MS / 1000} s it never came to this: ${what}`);
}

test.each(["UserController", "NodeGateway", "Coordinator"] as const)(
  "%s is evicted with requests in flight, and between two: no request is worse for it",
  async (className) => {
    const [asked] = await inFlight(16);
    // This also sees to it that the coordinator is in memory; the others are.
    await expectOnline();
    const evicted = evict(className);
    // A gateway stays in memory while callers wait. Once this is answered, its eviction has begun; it ends with the last answer.
    expect(await system.cluster.operator.unreadiness()).toBe(null);
    signal("SIGCONT");
    const onTheNode = { tier: "node", degraded: false };
    for (const reply of (await asked) ?? []) expect(reply).toMatchObject(onTheNode);
    await evicted;
    await expectOnline();
    expect(await system.infer(unsure[0] as Sample, DEADLINE)).toMatchObject(onTheNode);

    // What the object needs is on its disk and its socket, for the very next call as well.
    await evict(className);
    await expectOnline();
    expect(await system.infer(unsure[0] as Sample, DEADLINE)).toMatchObject(onTheNode);
  },
);

test("all objects are aborted, as by a deploy: what was in flight is answered at the edge, and the agent comes back", async () => {
  const [asked] = await inFlight(16);
  const [waiting] = await Promise.all([asked, ask(16), fault("/abort").then(() => signal("SIGCONT"))]);
  for (const reply of waiting ?? []) expect(reply).toMatchObject({ tier: "edge", degraded: true });
  expect(await system.untilNodeAnswers(unsure[0] as Sample)).toMatchObject({ node: "node-1", degraded: false });
  await ask(16);
});

test("an agent freezes: nobody waits for it to the end, and once it goes on it is used again", async () => {
  const [asked] = await inFlight(16);
  // Deeper than the first exit: it is found out while there is time to go on at the edge.
  for (const reply of (await asked) ?? []) {
    expect(reply).toMatchObject({ tier: "edge", degraded: true });
    expect(reply.exit).toBeGreaterThan(1);
  }
  for (const reply of await ask(16)) expect(reply).toMatchObject({ tier: "edge", degraded: false });
  signal("SIGCONT");
  expect(await system.untilNodeAnswers(unsure[0] as Sample)).toMatchObject({ node: "node-1", degraded: false });
  // Answers that it still had in hand belong to nobody.
  await ask(16);
});

test("an agent freezes under requests that hold nothing: long before it is found out the edge answers in time", async () => {
  await system.untilNodeAnswers(unsure[0] as Sample);
  signal("SIGSTOP");
  // Shorter than three beats and a probe.
  const query = "deadline_ms=2000&tier=node";
  const replies = await Promise.all(unsure.map((sample) => system.infer(sample, query)));
  signal("SIGCONT");
  for (const reply of replies) expect(reply).toMatchObject({ tier: "edge", degraded: true, deadline_met: true });
  expect(await system.untilNodeAnswers(unsure[0] as Sample)).toMatchObject({ node: "node-1", degraded: false });
});

test("the coordinator throws at every call: requests go on, the node is only probed, and used again afterwards", async () => {
  await system.untilNodeAnswers(unsure[0] as Sample);
  await expectOnline();
  const [file = ""] = objectsOf("Coordinator").values();
  const storage = new DatabaseSync(file, { timeout: 5000 });
  const { operator } = system.cluster;
  try {
    storage.exec("INSERT INTO enrolments (name, json) VALUES ('damaged', '{')");
    await evict("Coordinator");
    await expect(operator.nodeState("node-1")).rejects.toThrow("500");

    await askUntil("views are old", (replies, probes) => onNode(replies) <= probes);
    let probed = 0;
    await askUntil("the node is probed", (replies, probes) => {
      for (const reply of replies) expect(reply.degraded).toBe(false);
      expect(onNode(replies)).toBeLessThanOrEqual(probes);
      probed += onNode(replies);
      return probed > 1;
    });
    await expect(operator.nodeState("node-1")).rejects.toThrow("500");
  } finally {
    storage.exec("DELETE FROM enrolments WHERE name = 'damaged'");
    storage.close();
  }
  await askUntil("the node is used again", (replies, probes) => onNode(replies) > probes);
  await expectOnline();
});
