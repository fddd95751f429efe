/**
 * A lean HTTP/1.1 client for load: one keep-alive socket, one request at a time (no pipelining), requests encoded once.
 * It costs some 20 µs of CPU a request, so that on two cores the server is what is measured.
 *
 * Servers close connections that were idle (workerd after 15 s): the next request then opens another. No request waits
 * longer than its bound.
 */
import { once } from "node:events";
import net from "node:net";

/** No whole answer by then is a failure of what is measured, not a slow request. */
export const ANSWER_BOUND_MS = 15_000;
const HEADER_END = Buffer.from("\r\n\r\n");
const NOTHING = Buffer.alloc(0);

export type HttpReply = { status: number; body: Buffer };

/** The bytes of one request, to be sent as often as wanted. */
export function encodeRequest(method: string, url: string, headers: Record<string, string>, body: Uint8Array): Buffer {
  const { host, pathname, search } = new URL(url);
  const lines = [`${method} ${pathname}${search} HTTP/1.1`, `host: ${host}`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  lines.push(`content-length: ${body.byteLength}`, "", "");
  return Buffer.concat([Buffer.from(lines.join("\r\n")), body]);
}

/** The request whose answer has not come. */
type Waiting = { resolve: (reply: HttpReply) => void; reject: (error: Error) => void; bound: NodeJS.Timeout };

export class HttpConnection {
  readonly #address: { host: string; port: number };
  readonly #boundMs: number;
  /** Null once it has ended. */
  #socket: net.Socket | null = null;
  #received: Buffer = NOTHING;
  #waiting: Waiting | null = null;

  private constructor(url: string, boundMs: number) {
    const { hostname, port } = new URL(url);
    this.#address = { host: hostname, port: Number(port) };
    this.#boundMs = boundMs;
  }

  /** Resolves once connected, so that no request measures that. `boundMs` is what each request, and this, may take. */
  static async open(url: string, boundMs = ANSWER_BOUND_MS): Promise<HttpConnection> {
    const connection = new HttpConnection(url, boundMs);
    await once(connection.#connect(), "connect", { signal: AbortSignal.timeout(boundMs) });
    return connection;
  }

  /**
   * Sends one request and gives its whole answer. Rejects when the connection ends before, when the answer cannot be
   * read, and when it is not there within the bound; the next request starts on a new connection then.
   */
  request(bytes: Buffer): Promise<HttpReply> {
    if (this.#waiting) throw new Error("one request at a time");
    return new Promise((resolve, reject) => {
      const bound = setTimeout(() => this.#giveUp(bytes), this.#boundMs);
      this.#waiting = { resolve, reject, bound };
      const socket = this.#socket ?? this.#connect();
      socket.write(bytes);
    });
  }

  close(): void {
    this.#end(new Error("closed by its owner"));
  }

  /** What is written to the socket before it is connected is sent when it is. */
  #connect(): net.Socket {
    const socket = net.connect(this.#address);
    this.#socket = socket;
    socket.setNoDelay(true);
    const ended = (error: Error): void => {
      if (socket === this.#socket) this.#end(error);
    };
    socket.on("data", (data: Buffer) => {
      if (socket === this.#socket) this.#take(data);
    });
    socket.on("error", ended);
    // A write after the server's end would fail, or be lost without an event once the socket is closed.
    socket.on("end", () => ended(new Error("the server closed the connection")));
    socket.on("close", () => ended(new Error("the connection is closed")));
    return socket;
  }

  #take(data: Buffer): void {
    if (!this.#waiting) return this.#end(new Error("the server sent what nobody had asked for"));
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    const headerEnd = this.#received.indexOf(HEADER_END);
    if (headerEnd < 0) return;
    const header = this.#received.toString("latin1", 0, headerEnd);
    const bodyAt = headerEnd + HEADER_END.length;
    const length = /\r\ncontent-length: *(\d+)/i.exec(header)?.[1];
    const body = length === undefined ? this.#chunkedBody(bodyAt) : this.#sizedBody(bodyAt, Number(length));
    if (body === "malformed") return this.#end(new Error(`an answer that cannot be read: ${header}`));
    if (body === null) return;
    const { resolve, bound } = this.#waiting;
    clearTimeout(bound);
    this.#waiting = null;
    this.#received = NOTHING;
    resolve({ status: Number(header.slice(9, 12)), body });
  }

  /** Null while bytes are missing. */
  #sizedBody(at: number, length: number): Buffer | null {
    return this.#received.length < at + length ? null : this.#received.subarray(at, at + length);
  }

  /** Null while bytes are missing. */
  #chunkedBody(at: number): Buffer | null | "malformed" {
    const chunks: Buffer[] = [];
    for (;;) {
      const lineEnd = this.#received.indexOf("\r\n", at);
      if (lineEnd < 0) return null;
      const size = Number.parseInt(this.#received.toString("latin1", at, lineEnd), 16);
      if (Number.isNaN(size)) return "malformed";
      const end = lineEnd + 2 + size + 2;
      if (this.#received.length < end) return null;
      if (size === 0) return Buffer.concat(chunks);
      chunks.push(this.#received.subarray(lineEnd + 2, end - 2));
      at = end;
    }
  }

  #giveUp(request: Buffer): void {
    const line = request.toString("latin1", 0, request.indexOf(" HTTP/1.1"));
    const came = `${this.#received.length} bytes of an answer had come`;
    const port = this.#socket?.localPort ?? "none";
    this.#end(new Error(`no answer to ${line} for ${this.#boundMs} ms; ${came}; local port ${port}`));
  }

  /** Drops the socket, and with it any answer that is still on its way. */
  #end(error: Error): void {
    this.#socket?.destroy();
    this.#socket = null;
    this.#received = NOTHING;
    const waiting = this.#waiting;
    this.#waiting = null;
    if (!waiting) return;
    clearTimeout(waiting.bound);
    waiting.reject(error);
  }
}
