import { afterAll, beforeAll, expect, test } from "vitest";
import { System, type Sample } from "./support.ts";

/** Once one exit has finished, no failure later turns the request into an error. */
let system: System;
let unsure: Sample[];
let sure: Sample[];

beforeAll(async () => {
  system = await System.start({ nodes: 1 });
  ({ unsure, sure } = await system.sortByConfidence());
  expect(unsure.length).toBeGreaterThan(1);
  expect(sure.length).toBeGreaterThan(1);
});
afterAll(() => system?.close());

const times = <T>(items: T[], count: number): T[] =>
  Array.from({ length: count }, (_, i) => items[i % items.length] as T);

test("the agent is killed with requests in flight: all are answered from the edge, marked degraded", async () => {
  await system.untilNodeAnswers(unsure[0] as Sample);
  const agent = system.cluster.nodes[0];
  if (!agent) throw new Error("no agent");
  // A stopped agent answers nothing, so that what is sent now is in flight for certain when it is killed.
  process.kill(agent.pid, "SIGSTOP");
  const inFlight = times(unsure, 24).map((sample) => system.infer(sample, "deadline_ms=4000"));
  // Due later, so the edge runs these last; once they are answered, the others have passed the edge.
  await Promise.all(times(sure, 4).map((sample) => system.infer(sample, "deadline_ms=8000&tier=edge&max_exit=1")));
  process.kill(agent.pid, "SIGKILL");
  const replies = await Promise.all(inFlight);
  for (const reply of replies) expect(reply).toMatchObject({ tier: "edge", degraded: true, deadline_met: true });

  // Planned without a node from then on, nothing is degraded any more.
  const after = await Promise.all(times(unsure, 4).map((sample) => system.infer(sample)));
  for (const reply of after) expect(reply).toMatchObject({ tier: "edge", degraded: false });
});

test("the agent comes back with its old key and is used again", async () => {
  const agent = await system.cluster.addNode(system.cluster.nodes[0]?.id);
  expect(await system.untilNodeAnswers(unsure[0] as Sample)).toMatchObject({ node: agent.id, degraded: false });
});

test("a drained agent finishes its work and leaves; requests go on at the edge", async () => {
  const agent = system.cluster.nodes.at(-1);
  if (!agent) throw new Error("no agent");
  const running = times(unsure, 12).map((sample) => system.infer(sample));
  process.kill(agent.pid, "SIGTERM");
  expect(await agent.process.ended).toMatchObject({ code: 0 });
  for (const reply of await Promise.all(running)) expect(reply.deadline_met).toBe(true);
  expect((await system.infer(unsure[0] as Sample)).tier).toBe("edge");
});
