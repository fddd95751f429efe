/** NodeGateway in workerd, with a scripted agent on a real hibernating socket: its jobs, whose they are, and a silent node. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import type { NodeReply } from "../../protocol/fleet.ts";
import { Agent, answerOf, gateway, job, newNode } from "./agent.ts";
import { untilCoordinatorSays } from "./node-gateway-fixture.ts";

describe("serving", () => {
  test("a job travels to the agent and its answer comes back", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const reply = gateway(node).submit(job({ rung: 2, topK: 3 }));
    const { header, payload, sequence } = await agent.expect("job");
    expect(header).toMatchObject({ application: "tiny", from: "input", rung: 2, minRung: 1, topK: 3 });
    expect(header.remainingMs).toBeLessThanOrEqual(5000);
    expect([...payload]).toEqual(new Array(64).fill(7));
    agent.send("answer", sequence, answerOf(2));
    expect(await reply).toMatchObject({
      kind: "answer",
      exit: { exit: 2 },
      computeMs: 10,
      view: { node, epoch: 1, price: 0, ageMs: 0 },
    });
    expect(await gateway(node).status()).toMatchObject({ node, epoch: 1, connected: true, inFlight: 0 });
  });

  test("many at once are each answered by their own answer, whatever the order", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const replies = [1, 2, 1, 2, 1].map((rung) => gateway(node).submit(job({ rung, minRung: rung })));
    const frames = [];
    for (const _ of replies) frames.push(await agent.expect("job"));
    for (const { sequence, header } of frames.reverse()) agent.send("answer", sequence, answerOf(header.rung));
    const exits = (await Promise.all(replies)).map((reply) => (reply.kind === "answer" ? reply.exit.exit : reply.kind));
    expect(exits).toEqual([1, 2, 1, 2, 1]);
  });

  test("what cannot be taken is refused at once, with a reason and a view", async () => {
    const node = newNode();
    expect(await gateway(node).submit(job())).toMatchObject({
      kind: "refused",
      code: "not_connected",
      view: { node, epoch: 0 },
    });
    const agent = await Agent.connect(node);
    expect(await gateway(node).submit(job({ remainingMs: 2 }))).toMatchObject({ kind: "refused", code: "too_late" });
    expect(await gateway(node).submit(job({ application: "constructor" }))).toMatchObject({
      code: "unknown_application",
    });
    agent.send("drain", 0, { reason: "SIGTERM" });
    await agent.expect("drain");
    expect(await gateway(node).submit(job())).toMatchObject({ kind: "refused", code: "draining" });
    await untilCoordinatorSays(node, "draining");
  });

  test("a job in hand when the node drains is still answered", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const reply = gateway(node).submit(job());
    const { sequence } = await agent.expect("job");
    agent.send("drain", 0, { reason: "SIGTERM" });
    agent.send("answer", sequence, answerOf(2));
    expect(await reply).toMatchObject({ kind: "answer" });
  });

  test("cancel frees the caller and tells the agent; a late answer changes nothing", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const cancelled = job();
    const reply = gateway(node).submit(cancelled);
    const { sequence } = await agent.expect("job");
    await gateway(node).cancel(cancelled.ticket);
    expect(await reply).toMatchObject({ kind: "lost", reason: "cancelled" });
    expect((await agent.expect("cancel")).sequence).toBe(sequence);
    agent.send("answer", sequence, answerOf(2));
    await gateway(node).cancel(cancelled.ticket);
    expect(await gateway(node).status()).toMatchObject({ connected: true, inFlight: 0 });
  });

  test("a job that nobody answers expires, and the agent is told", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const reply = gateway(node).submit(job({ remainingMs: 40 }));
    const { sequence } = await agent.expect("job");
    expect(await reply).toMatchObject({ kind: "lost", reason: "expired" });
    expect((await agent.expect("cancel")).sequence).toBe(sequence);
    expect(await gateway(node).status()).toMatchObject({ inFlight: 0 });
  });

  test("a refusal by the agent reaches the caller", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const reply = gateway(node).submit(job());
    const { sequence } = await agent.expect("job");
    agent.send("refusal", sequence, { code: "failed", detail: "out of memory", backlogMs: 3 });
    expect(await reply).toMatchObject({ kind: "refused", code: "failed", detail: "out of memory" });
  });

  test("the heartbeat is answered and counts as being heard", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    agent.socket.send("ping");
    expect(await agent.texts.next()).toBe("pong");
    const { lastSeenAgeMs } = await gateway(node).status();
    expect(lastSeenAgeMs).toBeLessThan(1000);
  });
});

describe("sharing and lease", () => {
  test("a light user's job takes the place of a heavy one's, whose caller and agent hear at once", async () => {
    const node = newNode();
    const stage = { rung: 2, medianMs: 1000, marginalMs: 1000 };
    const slow = { medianMs: 1000, p95Ms: 1000, quality: 0.9, gain: 0.1, stageMs: [stage] };
    const agent = await Agent.connect(node, { applications: { tiny: { version: "1.0.0", rungs: { "2": slow } } } });
    const of = (user: string) => {
      const claim = { user, weight: 1, priority: "normal" as const };
      return gateway(node).submit(job({ rung: 2, minRung: 2, remainingMs: 5500, claim }));
    };
    const greedy = Array.from({ length: 6 }, () => of("greedy"));
    expect(await Promise.race(greedy)).toMatchObject({ kind: "refused", code: "too_late" });
    const light = of("light");
    for (let i = 0; i < 5; i++) await agent.expect("job");
    await agent.expect("cancel");
    const { sequence } = await agent.expect("job");
    agent.send("answer", sequence, answerOf(2));
    expect(await light).toMatchObject({ kind: "answer", batch: 1 });
    agent.socket.close(1000, "bye");
    const codes = (await Promise.all(greedy)).map((reply) => (reply.kind === "refused" ? reply.code : reply.kind));
    expect(codes.sort()).toEqual(["evicted", "lost", "lost", "lost", "lost", "too_late"]);
  });

  test("the alarm renews the registration while there is a connection, and ends with it", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    await untilCoordinatorSays(node, "online");
    const stub = gateway(node) as unknown as DurableObjectStub;
    const armed = () => runInDurableObject(stub, (_instance, state) => state.storage.getAlarm());
    const before = await armed();
    expect((before ?? 0) - Date.now()).toBeGreaterThan(20_000);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    expect(await armed()).toBeGreaterThanOrEqual(before ?? 0);
    agent.socket.close(1000, "bye");
    await untilCoordinatorSays(node, "offline");
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    expect(await armed()).toBeNull();
  });

  test("an alarm that was lost is set again when the object wakes", async () => {
    const node = newNode();
    await Agent.connect(node);
    const stub = gateway(node) as unknown as DurableObjectStub;
    await runInDurableObject(stub, (_instance, state) => state.storage.deleteAlarm());
    await evictDurableObject(gateway(node));
    await gateway(node).status();
    const alarm = await runInDurableObject(stub, (_instance, state) => state.storage.getAlarm());
    expect(alarm).not.toBeNull();
  });

  test("a node that falls silent is asked for a sign of life, and given up when none comes", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const held = gateway(node).submit(job({ remainingMs: 60_000 }));
    await agent.expect("job");
    // The beats stop. Whoever asks for the node next finds out, and the held job is lost long before its time.
    let asked: NodeReply;
    do asked = await gateway(node).submit(job({ remainingMs: 1 }));
    while (asked.kind !== "refused" || asked.code !== "silent");
    expect((await agent.expect("probe")).sequence).toBe(0);
    expect(await held).toMatchObject({ kind: "lost", reason: "disconnected" });
    expect(await agent.closed).toMatchObject({ code: 4002 });
    await untilCoordinatorSays(node, "offline");
  }, 15_000);

  test("one that answers the probe lives on", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    let asked: NodeReply;
    do asked = await gateway(node).submit(job({ remainingMs: 1 }));
    while (asked.kind !== "refused" || asked.code !== "silent");
    await agent.expect("probe");
    agent.send("alive", 0, {});
    const reply = gateway(node).submit(job());
    const { sequence } = await agent.expect("job");
    agent.send("answer", sequence, answerOf(2));
    expect(await reply).toMatchObject({ kind: "answer" });
    expect(await gateway(node).status()).toMatchObject({ epoch: 1, connected: true });
  }, 15_000);
});
