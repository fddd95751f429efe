/**
 * NodeGateway's connections in workerd: fencing, tokens, hostile frames, and the object's own loss. Evictions and aborts
 * are the platform's own; what these tests do not show is a deployed object's placement, its clock or its overload errors.
 */
import { abortAllDurableObjects, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { encodeMessage } from "../../protocol/node-messages.ts";
import { Agent, answerOf, gateway, job, newNode, registration, upgrade } from "./agent.ts";
import { untilCoordinatorSays } from "./node-gateway-fixture.ts";

describe("connections", () => {
  test("a newer connection fences the older one and takes over", async () => {
    const node = newNode();
    const first = await Agent.connect(node);
    const orphan = gateway(node).submit(job());
    const { sequence } = await first.expect("job");
    const second = await Agent.connect(node);
    expect(await orphan).toMatchObject({ kind: "lost", reason: "superseded" });
    expect(await first.closed).toMatchObject({ code: 4001 });

    // The same sequence number is in flight again, under the new epoch: an answer of the old one must not reach it.
    const reply = gateway(node).submit(job());
    const again = await second.expect("job");
    expect(again.sequence).toBe(sequence);
    try {
      first.send("answer", sequence, answerOf(1));
    } catch {
      // This end has closed already; the property test of the machine covers the case.
    }
    second.send("answer", again.sequence, answerOf(2));
    expect(await reply).toMatchObject({ kind: "answer", exit: { exit: 2 }, view: { epoch: 2 } });
  });

  test("a lost connection loses what was in flight, and the coordinator hears of it", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    await untilCoordinatorSays(node, "online");
    const reply = gateway(node).submit(job());
    await agent.expect("job");
    agent.socket.close(1000, "bye");
    expect(await reply).toMatchObject({ kind: "lost", reason: "disconnected" });
    await untilCoordinatorSays(node, "offline");
    expect(await gateway(node).submit(job())).toMatchObject({ kind: "refused", code: "not_connected" });
  });

  test("a connect token works once", async () => {
    const node = newNode();
    const jti = crypto.randomUUID();
    const first = await upgrade(node, { jti });
    expect(first.status).toBe(101);
    const agent = new Agent(node, first.webSocket as WebSocket);
    agent.send("hello", 0, { registration, busyMs: 0 });
    await agent.expect("welcome");
    const replay = await upgrade(node, { jti });
    expect(replay.status).toBe(409);
    expect(await replay.json()).toMatchObject({ code: "conflict" });
    expect(await gateway(node).status()).toMatchObject({ epoch: 1, connected: true });
  });

  test("a token is remembered through an eviction", async () => {
    const node = newNode();
    const jti = crypto.randomUUID();
    (await upgrade(node, { jti })).webSocket?.accept();
    await evictDurableObject(gateway(node));
    expect((await upgrade(node, { jti })).status).toBe(409);
  });

  test("revocation closes the socket and outlives the object; a later certificate is welcome", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const reply = gateway(node).submit(job());
    await agent.expect("job");
    await gateway(node).revoke();
    expect(await agent.closed).toMatchObject({ code: 4003 });
    expect(await reply).toMatchObject({ kind: "lost", reason: "disconnected" });
    expect(await gateway(node).status()).toMatchObject({ revoked: true, connected: false });
    await evictDurableObject(gateway(node));
    const refused = await upgrade(node, { issuedAt: Date.now() - 10_000 });
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ code: "forbidden" });
    expect((await upgrade(node, { issuedAt: Date.now() + 10_000 })).status).toBe(101);
    expect(await gateway(node).status()).toMatchObject({ revoked: false });
  });
});

describe("hostile frames", () => {
  const oversizedHeader = new Uint8Array(12);
  oversizedHeader.set([1, 1, 0, 0, 0, 0, 0, 0, 255, 255, 255, 127]);
  const badJson = new Uint8Array([1, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x7b, 0x7b]);
  const cases: [string, () => string | Uint8Array, number][] = [
    ["text", () => "hello", 1003],
    ["an empty frame", () => new Uint8Array(0), 1002],
    ["another version", () => new Uint8Array(12).fill(9), 1002],
    ["a header length of 2 GiB", () => oversizedHeader, 1009],
    ["a payload over the limit", () => new Uint8Array(4 * 1024 * 1024 + 8 * 1024 + 13).fill(1), 1009],
    ["a header that is no JSON", () => badJson, 1007],
    [
      "a kind that only gateways send",
      () => encodeMessage("welcome", 0, { node: "a", epoch: 1, heartbeatMs: 1 }),
      1002,
    ],
    ["a second hello", () => encodeMessage("hello", 0, { registration, busyMs: 0 }), 1008],
    ["a field out of range", () => encodeMessage("answer", 1, { ...answerOf(2), queueMs: -1 }), 1007],
  ];

  test.each(cases)("%s closes that socket and no other", async (_, message, code) => {
    const [victim, other] = [newNode(), newNode()];
    const agent = await Agent.connect(victim);
    const bystander = await Agent.connect(other);
    const lost = gateway(victim).submit(job());
    await agent.expect("job");
    agent.socket.send(message());
    const closed = await agent.closed;
    expect(closed.code).toBe(code);
    expect(new TextEncoder().encode(closed.reason).length).toBeLessThanOrEqual(123);
    expect(await lost).toMatchObject({ kind: "lost", reason: "disconnected" });

    const reply = gateway(other).submit(job());
    const { sequence } = await bystander.expect("job");
    bystander.send("answer", sequence, answerOf(2));
    expect(await reply).toMatchObject({ kind: "answer" });

    await Agent.connect(victim);
    expect(await gateway(victim).status()).toMatchObject({ epoch: 2, connected: true });
  });

  test("an answer before hello closes the socket", async () => {
    const agent = await Agent.dial(newNode());
    agent.send("answer", 1, answerOf(2));
    expect(await agent.closed).toMatchObject({ code: 1008 });
  });

  test("an answer to a job that was never sent is dropped", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    agent.send("answer", 4711, answerOf(2));
    const reply = gateway(node).submit(job());
    const { sequence } = await agent.expect("job");
    agent.send("answer", sequence, answerOf(2));
    expect(await reply).toMatchObject({ kind: "answer" });
  });
});

describe("losing the object", () => {
  test("after an eviction the open socket goes on working, with sequences of its own", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const before = gateway(node).submit(job());
    const old = await agent.expect("job");
    agent.send("answer", old.sequence, answerOf(2));
    const { view } = await before;

    await evictDurableObject(gateway(node));
    const reply = gateway(node).submit(job());
    const { sequence } = await agent.expect("job");
    expect(sequence).not.toBe(old.sequence);
    agent.send("answer", old.sequence, answerOf(1));
    agent.send("answer", sequence, answerOf(2));
    const after = await reply;
    expect(after).toMatchObject({ kind: "answer", exit: { exit: 2 }, view: { epoch: view.epoch } });
    expect(after.view.seq).toBeGreaterThan(view.seq);
  });

  test("the time of the last heartbeat outlives the object, or a node would seem silent after every eviction", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    agent.socket.send("ping");
    await agent.texts.next();
    await evictDurableObject(gateway(node));
    const at = await runInDurableObject(gateway(node) as DurableObjectStub, (_instance, state) => {
      const [socket] = state.getWebSockets();
      return socket && state.getWebSocketAutoResponseTimestamp(socket)?.getTime();
    });
    expect(Date.now() - (at ?? 0)).toBeLessThan(10_000);
  });

  test("an eviction of a draining node does not make it take jobs again", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    agent.send("drain", 0, { reason: "SIGTERM" });
    await agent.expect("drain");
    await evictDurableObject(gateway(node));
    expect(await gateway(node).submit(job())).toMatchObject({ kind: "refused", code: "draining" });
  });

  test("a socket that closes while the object sleeps is reported", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    await untilCoordinatorSays(node, "online");
    await evictDurableObject(gateway(node));
    agent.socket.close(1000, "bye");
    await untilCoordinatorSays(node, "offline");
  });

  test("an abort, as a deploy does it, ends waiting calls; the node comes back with a higher epoch", async () => {
    const node = newNode();
    const agent = await Agent.connect(node);
    const waiting = gateway(node)
      .submit(job())
      .then(
        (reply) => reply.kind,
        () => "failed",
      );
    await agent.expect("job");
    await abortAllDurableObjects();
    expect(await waiting).toBe("failed");
    const again = await Agent.connect(node);
    const reply = gateway(node).submit(job());
    const { sequence } = await again.expect("job");
    again.send("answer", sequence, answerOf(2));
    expect(await reply).toMatchObject({ kind: "answer", view: { epoch: 2 } });
  });
});
