/** A node's side of the wire for tests: a scripted agent on a real socket to a real gateway. */
import { env } from "cloudflare:workers";
import type { NodeJob, NodeRegistration } from "../../protocol/fleet.ts";
import { CONNECT_HEADERS } from "../../protocol/node-connect.ts";
import {
  decodeMessage,
  encodeMessage,
  type AnswerHeader,
  type Headers as MessageHeaders,
  type ToAgent,
  type ToGateway,
} from "../../protocol/node-messages.ts";
import { gatewayName, type NodeGatewayRpc } from "../../protocol/services.ts";

const FROM_GATEWAY = ["welcome", "job", "cancel", "drain", "probe"] as const;

export const registration: NodeRegistration = {
  agentVersion: "test",
  bootId: "boot-1",
  provider: "cpu",
  device: "scripted",
  concurrency: 1,
  applications: {
    tiny: {
      version: "1.0.0",
      rungs: {
        "1": {
          medianMs: 4,
          p95Ms: 5,
          quality: 0.8,
          gain: 0.8,
          stageMs: [
            { rung: 0, medianMs: 2, marginalMs: 2 },
            { rung: 1, medianMs: 2, marginalMs: 2 },
          ],
        },
        "2": { medianMs: 10, p95Ms: 12, quality: 0.9, gain: 0.1, stageMs: [{ rung: 2, medianMs: 10, marginalMs: 10 }] },
      },
    },
  },
};

export const answerOf = (exit: number): AnswerHeader => ({
  exit: { exit, bin: 0, confidence: 0.75, top: [[1, 0.75]] },
  queueMs: 1,
  computeMs: 10,
  batch: 1,
  backlogMs: 0,
});

export const job = (over: Partial<NodeJob> = {}): NodeJob => ({
  ticket: crypto.randomUUID(),
  application: "tiny",
  start: { from: "input", input: { datatype: "UINT8", shape: [1, 8, 8], bytes: new Uint8Array(64).fill(7).buffer } },
  rung: 2,
  minRung: 1,
  remainingMs: 5000,
  topK: 1,
  claim: { user: "u", weight: 1, priority: "normal" },
  ...over,
});

/** Node names are unique per test, so that tests share no object. */
export const newNode = (): string => `node-${crypto.randomUUID().slice(0, 8)}`;

export type Stub = NodeGatewayRpc & DurableObjectStub;

export function gateway(node: string): Stub {
  return env.NODE_GATEWAY.getByName(gatewayName(env.DYSTRI_REGION, node)) as unknown as Stub;
}

export type UpgradeClaims = { jti?: string; expiresAt?: number; issuedAt?: number };

/** The upgrade as the API forwards it. */
export function upgrade(node: string, claims: UpgradeClaims = {}): Promise<Response> {
  const { jti = crypto.randomUUID(), expiresAt = Date.now() + 60_000, issuedAt = Date.now() - 1000 } = claims;
  const headers = {
    Upgrade: "websocket",
    [CONNECT_HEADERS.node]: node,
    [CONNECT_HEADERS.jti]: jti,
    [CONNECT_HEADERS.tokenExpiresAt]: String(expiresAt),
    [CONNECT_HEADERS.certificateIssuedAt]: String(issuedAt),
  };
  return gateway(node).fetch("https://gateway/connect", { headers });
}

/** Values that arrive in order and are awaited one by one. */
class Inbox<T> {
  readonly #values: T[] = [];
  readonly #waiting: ((value: T) => void)[] = [];

  push(value: T): void {
    const waiter = this.#waiting.shift();
    if (waiter) waiter(value);
    else this.#values.push(value);
  }

  next(): Promise<T> {
    const value = this.#values.shift();
    return value === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(value);
  }

  get size(): number {
    return this.#values.length;
  }
}

export class Agent {
  readonly node: string;
  readonly socket: WebSocket;
  readonly frames = new Inbox<ToAgent>();
  readonly texts = new Inbox<string>();
  readonly closed: Promise<{ code: number; reason: string }>;

  constructor(node: string, socket: WebSocket) {
    this.node = node;
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") return this.texts.push(data);
      const decoded = decodeMessage(data as ArrayBuffer, FROM_GATEWAY);
      if (!decoded.ok) throw new Error(decoded.error.message);
      this.frames.push(decoded.value);
    });
    // Otherwise binary frames arrive as Blobs.
    socket.binaryType = "arraybuffer";
    socket.accept();
  }

  /** Connects and says hello; resolves once welcome. */
  static async connect(node: string, over: Partial<NodeRegistration> = {}): Promise<Agent> {
    const agent = await Agent.dial(node);
    agent.send("hello", 0, { registration: { ...registration, ...over }, busyMs: 0 });
    await agent.expect("welcome");
    return agent;
  }

  static async dial(node: string): Promise<Agent> {
    const response = await upgrade(node);
    if (!response.webSocket) throw new Error(`no socket: ${response.status} ${await response.text()}`);
    return new Agent(node, response.webSocket);
  }

  send<K extends ToGateway["kind"]>(kind: K, sequence: number, header: MessageHeaders[K]): void {
    this.socket.send(encodeMessage(kind, sequence, header));
  }

  /** The next frame, which must be of this kind. */
  async expect<K extends ToAgent["kind"]>(kind: K): Promise<Extract<ToAgent, { kind: K }>> {
    const frame = await this.frames.next();
    if (frame.kind !== kind) throw new Error(`expected ${kind}, got ${frame.kind} ${JSON.stringify(frame.header)}`);
    return frame as Extract<ToAgent, { kind: K }>;
  }
}
