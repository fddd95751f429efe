import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocketServer, type WebSocket } from "ws";
import { Link, type GaveUp } from "../../nodes/link.ts";
import type { NodeRegistration } from "../../protocol/fleet.ts";
import { CLOSE_SUPERSEDED } from "../../protocol/frames.ts";
import { CERTIFICATE_HEADER, TOKEN_HEADER } from "../../protocol/node-connect.ts";
import { decodeMessage, encodeMessage, type ToAgent, type ToGateway } from "../../protocol/node-messages.ts";

const registration: NodeRegistration = {
  agentVersion: "t",
  bootId: "t",
  provider: "cpu",
  device: "t",
  concurrency: 1,
  applications: {},
};

/** The other end: a scripted gateway. Connections are taken one by one. */
let server: Server;
let sockets: WebSocketServer;
let stop: AbortController;
let received: ToAgent[];
let losses: number;
let running: Promise<GaveUp>;

beforeEach(async () => {
  server = createServer();
  sockets = new WebSocketServer({ noServer: true });
  stop = new AbortController();
  received = [];
  losses = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});

afterEach(async () => {
  stop.abort();
  await running;
  for (const client of sockets.clients) client.terminate();
  server.close();
});

function start(): Link {
  let attempts = 0;
  const link = new Link({
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/nodes/connect`,
    credentials: () => Promise.resolve({ certificate: "cert", token: `token-${++attempts}` }),
    hello: () => ({ registration, busyMs: 5 }),
    receive: (message) => received.push(message),
    lost: () => losses++,
  });
  running = link.run(stop.signal);
  return link;
}

/** Takes the next upgrade; `answer` decides whether it becomes a socket. */
async function nextUpgrade(): Promise<{
  request: IncomingMessage;
  accept(): Promise<Peer>;
  refuse(head: string): void;
}> {
  const [request, socket, head] = (await once(server, "upgrade")) as [
    IncomingMessage,
    import("node:stream").Duplex,
    Buffer,
  ];
  return {
    request,
    accept: () => new Promise((resolve) => sockets.handleUpgrade(request, socket, head, (ws) => resolve(new Peer(ws)))),
    refuse: (text) => socket.end(text),
  };
}

const accepted = async (): Promise<Peer> => (await nextUpgrade()).accept();

/** Accepts, and says welcome once the agent has said hello. */
async function welcomed(epoch: number): Promise<Peer> {
  const peer = await accepted();
  await peer.next("hello");
  peer.socket.send(encodeMessage("welcome", 0, { node: "n1", epoch, heartbeatMs: 1000 }));
  return peer;
}

class Peer {
  readonly socket: WebSocket;
  readonly closed: Promise<number>;
  readonly #frames: ToGateway[] = [];
  #wake: (() => void) | null = null;

  constructor(socket: WebSocket) {
    this.socket = socket;
    this.closed = once(socket, "close").then(([code]) => code as number);
    socket.on("message", (data, isBinary) => {
      if (!isBinary) return socket.send("pong");
      const decoded = decodeMessage(data as Buffer, ["hello", "answer", "refusal", "drain", "alive"]);
      if (!decoded.ok) throw new Error(decoded.error.message);
      this.#frames.push(decoded.value);
      this.#wake?.();
    });
  }

  async next<K extends ToGateway["kind"]>(kind: K): Promise<Extract<ToGateway, { kind: K }>> {
    while (this.#frames.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    const frame = this.#frames.shift();
    expect(frame?.kind).toBe(kind);
    return frame as Extract<ToGateway, { kind: K }>;
  }
}

const JOB = encodeMessage(
  "job",
  7,
  {
    application: "tiny",
    rung: 0,
    minRung: 0,
    remainingMs: 9,
    topK: 1,
    from: "input",
    input: { datatype: "UINT8", shape: [1] },
  },
  new Uint8Array([1]),
);
const ANSWER = { exit: { exit: 0, bin: 0, confidence: 1, top: [] }, queueMs: 0, computeMs: 1, batch: 1, backlogMs: 0 };

test("credentials, hello, welcome, a job and its answer; an answer of another epoch is not sent", async () => {
  const link = start();
  const upgrade = await nextUpgrade();
  expect(upgrade.request.headers).toMatchObject({
    [CERTIFICATE_HEADER.toLowerCase()]: "cert",
    [TOKEN_HEADER.toLowerCase()]: "token-1",
  });
  const peer = await upgrade.accept();
  expect((await peer.next("hello")).header).toEqual({ registration, busyMs: 5 });
  peer.socket.send(encodeMessage("welcome", 0, { node: "n1", epoch: 4, heartbeatMs: 1000 }));
  peer.socket.send(JOB);
  while (received.length === 0) await once(peer.socket, "message");
  expect(received[0]).toMatchObject({ kind: "job", sequence: 7 });
  link.send(3, "answer", 6, ANSWER);
  link.send(4, "answer", 7, ANSWER);
  expect((await peer.next("answer")).sequence).toBe(7);
});

test("a lost connection is told once and dialled again with a new token", async () => {
  start();
  (await welcomed(1)).socket.close(1001, "deploy");
  const again = await nextUpgrade();
  expect(again.request.headers[TOKEN_HEADER.toLowerCase()]).toBe("token-2");
  expect(losses).toBe(1);
  await again.accept();
});

test.each([
  ["garbage", Buffer.from("garbage and more garbage"), 1002],
  ["a job before welcome", JOB, 1002],
  ["a frame over the limit", Buffer.alloc(5 * 1024 * 1024), 1009],
])("%s from the other side closes the connection and it is dialled again", async (_, bytes, code) => {
  start();
  const peer = await accepted();
  await peer.next("hello");
  peer.socket.send(bytes);
  expect(await peer.closed).toBe(code);
  await accepted();
  expect(received).toEqual([]);
});

test("401 and 403 end it for good, 503 does not", async () => {
  start();
  (await nextUpgrade()).refuse("HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  const body = JSON.stringify({ detail: "expired", hint: "enrol again" });
  const head = `HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
  (await nextUpgrade()).refuse(head + body);
  expect(await running).toEqual({ why: "refused", detail: "401 expired; enrol again" });
  start();
  (await nextUpgrade()).refuse("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  expect(await running).toMatchObject({ why: "revoked" });
});

test("it gives way to another agent after three takeovers in a row, not after one", async () => {
  start();
  for (let epoch = 1; epoch <= 3; epoch++) (await welcomed(epoch)).socket.close(CLOSE_SUPERSEDED, "taken over");
  expect(await running).toEqual({ why: "superseded", detail: "taken over" });
});

test("drain is done when the gateway says it back, and a connection lost after it is not replaced", async () => {
  const link = start();
  const peer = await welcomed(1);
  peer.socket.send(JOB);
  while (link.epoch === null || received.length === 0) await once(peer.socket, "message");
  let done = false;
  const drained = link.drain("SIGTERM").then(() => (done = true));
  expect((await peer.next("drain")).header.reason).toBe("SIGTERM");
  expect(done).toBe(false);
  peer.socket.send(encodeMessage("drain", 0, { reason: "acknowledged" }));
  await drained;
  peer.socket.terminate();
  expect(await running).toEqual({ why: "stopped" });
});

test("a probe is answered at once", async () => {
  start();
  const peer = await welcomed(1);
  peer.socket.send(encodeMessage("probe", 0, {}));
  expect((await peer.next("alive")).sequence).toBe(0);
});

test("stopping closes politely", async () => {
  start();
  const peer = await welcomed(1);
  stop.abort();
  expect(await peer.closed).toBe(1000);
  expect(await running).toEqual({ why: "stopped" });
});

test("a peer that stops answering heartbeats is given up within some seconds", async () => {
  start();
  const peer = await welcomed(1);
  peer.socket.removeAllListeners("message");
  await peer.closed;
  await accepted();
  expect(losses).toBe(1);
}, 15_000);
