/**
 * The agent's connection to its gateway: dials out, says hello, keeps the heartbeat, and dials again when it is lost.
 * One socket at a time: an attempt ends, with its socket terminated, before the next begins.
 */
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket, type RawData } from "ws";
import { CLOSE_REVOKED, CLOSE_SUPERSEDED, MAX_FRAME_BYTES } from "../protocol/frames.ts";
import { CERTIFICATE_HEADER, TOKEN_HEADER } from "../protocol/node-connect.ts";
import {
  decodeMessage,
  encodeMessage,
  type Headers,
  type HelloHeader,
  type ToAgent,
  type ToGateway,
} from "../protocol/node-messages.ts";
import { reconnectDelayMs, retryHintMs } from "./backoff.ts";
import { detailOf } from "./enrol.ts";
import { log } from "./log.ts";

const HANDSHAKE_TIMEOUT_MS = 5000;
/** From the open socket to the gateway's welcome. */
const WELCOME_TIMEOUT_MS = 5000;
/** How long a polite close may take. */
const GOODBYE_MS = 1000;
const BEAT_MS = 1000;
/** Three beats without a word from the other side. */
const DEAD_AFTER_MS = 3 * BEAT_MS;
/**
 * Once may be an attempt of our own that reached the gateway late; three times in a row, with no connection longer
 * than this, is another agent with the same identity. The one that counts to three first gives way.
 */
const MOST_TAKEOVERS = 3;
const SETTLED_MS = 60_000;
const FROM_GATEWAY = ["welcome", "job", "cancel", "drain", "probe"] as const satisfies readonly ToAgent["kind"][];

export type LinkOptions = {
  /** ws:// or wss:// address of the connect path. */
  url: string;
  /** Fresh credentials for one attempt. */
  credentials: () => Promise<{ certificate: string; token: string }>;
  hello: () => HelloHeader;
  /** A job or a cancellation; `epoch` names the connection it came by. */
  receive: (message: Extract<ToAgent, { kind: "job" | "cancel" }>, epoch: number) => void;
  /** The connection is gone: nobody waits for answers to jobs that came by it. */
  lost: () => void;
};

/** How one attempt ended. */
type Ended = { epoch: number | null; code: number; reason: string; hintMs: number; status?: number };

/** Why the link gave up: nothing that dialling again could mend. */
export type GaveUp = { why: "stopped" } | { why: "refused" | "revoked" | "superseded"; detail: string };

export class Link {
  readonly #options: LinkOptions;
  #socket: WebSocket | null = null;
  #epoch: number | null = null;
  #onDrained: (() => void) | null = null;
  #leaving = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** The epoch of the live connection; null while there is none. */
  get epoch(): number | null {
    return this.#epoch;
  }

  /**
   * Keeps a connection until `signal` aborts (the socket is then closed) or the service refuses for good. After
   * `drain` a connection that is lost is not replaced.
   */
  async run(signal: AbortSignal): Promise<GaveUp> {
    let failures = 0;
    let takeovers = 0;
    while (!signal.aborted && !this.#leaving) {
      const startedAt = performance.now();
      const ended = await this.#attempt(signal);
      if (signal.aborted || this.#leaving) break;
      const final = finalOf(ended);
      if (final) return final;
      if (performance.now() - startedAt > SETTLED_MS) takeovers = 0;
      if (ended.code === CLOSE_SUPERSEDED && ++takeovers === MOST_TAKEOVERS) {
        return { why: "superseded", detail: ended.reason };
      }
      failures = ended.epoch === null ? failures + 1 : 1;
      const waitMs = reconnectDelayMs(failures, Math.random(), ended.hintMs);
      const { epoch, code, reason } = ended;
      log("link", "disconnected", { epoch, code, reason, retryInMs: Math.round(waitMs) });
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
    return { why: "stopped" };
  }

  /** Sends on the connection of `epoch`; does nothing when that is gone. */
  send<K extends ToGateway["kind"]>(epoch: number, kind: K, sequence: number, header: Headers[K]): void {
    if (epoch === this.#epoch) this.#socket?.send(encodeMessage(kind, sequence, header));
  }

  /** Tells the gateway to send no more; resolves once it has said that nothing more comes, or when there is no connection. */
  drain(reason: string): Promise<void> {
    const epoch = this.#epoch;
    this.#leaving = true;
    if (epoch === null) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrained = resolve;
      this.send(epoch, "drain", 0, { reason });
    });
  }

  async #attempt(signal: AbortSignal): Promise<Ended> {
    let credentials;
    try {
      credentials = await this.#options.credentials();
    } catch (error) {
      return { epoch: null, code: 0, reason: `no credentials: ${String(error)}`, hintMs: 0 };
    }
    const socket = new WebSocket(this.#options.url, {
      headers: { [CERTIFICATE_HEADER]: credentials.certificate, [TOKEN_HEADER]: credentials.token },
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxPayload: MAX_FRAME_BYTES,
      perMessageDeflate: false,
      followRedirects: false,
    });
    this.#socket = socket;
    try {
      return await this.#life(socket, signal);
    } finally {
      const wasLive = this.#epoch !== null;
      this.#socket = null;
      this.#epoch = null;
      socket.terminate();
      this.#onDrained?.();
      if (wasLive) this.#options.lost();
    }
  }

  /** Resolves when the socket is gone, whatever the way. */
  #life(socket: WebSocket, signal: AbortSignal): Promise<Ended> {
    return new Promise((resolve) => {
      let heardAt = performance.now();
      let welcomeBy = Number.POSITIVE_INFINITY;
      let failure = "";
      const end = (code: number, reason: string, hintMs = 0, status?: number) => {
        clearInterval(beat);
        signal.removeEventListener("abort", stop);
        resolve({
          epoch: this.#epoch,
          code,
          reason: reason || failure,
          hintMs,
          ...(status !== undefined && { status }),
        });
      };
      const beat = setInterval(() => {
        if (socket.readyState !== WebSocket.OPEN) return;
        const now = performance.now();
        if (now - heardAt > DEAD_AFTER_MS) return end(0, "the gateway does not answer heartbeats");
        if (this.#epoch === null && now > welcomeBy) return end(0, "the gateway did not say welcome");
        socket.send("ping");
      }, BEAT_MS);
      // While connecting there is nothing to close politely: end() leads to terminate(), which aborts the attempt.
      const stop = () => {
        if (socket.readyState !== WebSocket.OPEN) return end(1000, "stopped");
        socket.close(1000, "bye");
        setTimeout(() => end(1000, "stopped"), GOODBYE_MS).unref();
      };
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();

      socket.on("open", () => {
        heardAt = performance.now();
        welcomeBy = heardAt + WELCOME_TIMEOUT_MS;
        socket.send(encodeMessage("hello", 0, this.#options.hello()));
      });
      socket.on("message", (data, isBinary) => {
        heardAt = performance.now();
        if (!isBinary) return;
        const problem = this.#message(data);
        if (problem) {
          socket.close(problem.closeCode, problem.message);
          end(problem.closeCode, problem.message);
        }
      });
      socket.on("unexpected-response", (_request, response) => {
        let body = "";
        response.setTimeout(HANDSHAKE_TIMEOUT_MS, () => response.destroy());
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (body = (body + chunk).slice(0, 4096)));
        const retryAfter = response.headers["retry-after"];
        response.on("close", () =>
          end(0, `${response.statusCode} ${detailOf(body)}`, retryHintMs("", retryAfter), response.statusCode),
        );
      });
      socket.on("error", (error) => {
        failure = error.message || error.name;
        // After a handshake that failed there may be no close event worth waiting for.
        if (socket.readyState !== WebSocket.OPEN) end(0, failure);
      });
      socket.on("close", (code, reason) => end(code, reason.toString(), retryHintMs(reason.toString())));
    });
  }

  /** Null when the message was in order. */
  #message(data: RawData): { closeCode: number; message: string } | null {
    const bytes = Array.isArray(data) ? Buffer.concat(data) : data;
    const decoded = decodeMessage(bytes, FROM_GATEWAY);
    if (!decoded.ok) return decoded.error;
    const message = decoded.value;
    if (message.kind === "welcome") {
      this.#epoch = message.header.epoch;
      log("link", "connected", { epoch: this.#epoch, node: message.header.node });
    } else if (this.#epoch === null) {
      return { closeCode: 1002, message: `${message.kind} before welcome` };
    } else if (message.kind === "drain") {
      this.#onDrained?.();
    } else if (message.kind === "probe") {
      this.send(this.#epoch, "alive", 0, {});
    } else {
      this.#options.receive(message, this.#epoch);
    }
    return null;
  }
}

/** What no new attempt would mend. */
function finalOf(ended: Ended): GaveUp | null {
  const { code, status, reason } = ended;
  if (status === 401) return { why: "refused", detail: reason };
  if (code === CLOSE_REVOKED || status === 403) return { why: "revoked", detail: reason };
  return null;
}
