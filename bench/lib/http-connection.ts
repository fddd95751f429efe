/**
 * A lean HTTP/1.1 client for load: one keep-alive socket, one request at a time (no pipelining), requests encoded once.
 * It costs some 20 µs of CPU a request, so that on two cores the server is what is measured.
 */
import net from "node:net";

/** No answer for that long is a failure of what is measured, not a slow request. */
const SILENCE_BOUND_MS = 15_000;
const HEADER_END = Buffer.from("\r\n\r\n");

export type HttpReply = { status: number; body: Buffer };

/** The bytes of one request, to be sent as often as wanted. */
export function encodeRequest(method: string, url: string, headers: Record<string, string>, body: Uint8Array): Buffer {
  const { host, pathname, search } = new URL(url);
  const lines = [`${method} ${pathname}${search} HTTP/1.1`, `host: ${host}`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  lines.push(`content-length: ${body.byteLength}`, "", "");
  return Buffer.concat([Buffer.from(lines.join("\r\n")), body]);
}

export class HttpConnection {
  readonly #socket: net.Socket;
  #received: Buffer = Buffer.alloc(0);
  #waiting: { resolve: (reply: HttpReply) => void; reject: (error: Error) => void } | null = null;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setTimeout(SILENCE_BOUND_MS, () => this.#fail(new Error(`no answer for ${SILENCE_BOUND_MS / 1000} s`)));
    socket.on("data", (data: Buffer) => this.#take(data));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server closed the connection")));
  }

  static open(url: string): Promise<HttpConnection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = net.connect(Number(port), hostname);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new HttpConnection(socket));
      });
    });
  }

  /** Sends one request and gives its whole answer. Rejects when the connection ends first. */
  request(bytes: Buffer): Promise<HttpReply> {
    if (this.#waiting) throw new Error("one request at a time");
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(bytes);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(data: Buffer): void {
    this.#received = this.#received.length === 0 ? data : Buffer.concat([this.#received, data]);
    const headerEnd = this.#received.indexOf(HEADER_END);
    if (headerEnd < 0) return;
    const header = this.#received.toString("latin1", 0, headerEnd);
    const bodyAt = headerEnd + HEADER_END.length;
    const length = /\r\ncontent-length: *(\d+)/i.exec(header)?.[1];
    const body = length === undefined ? this.#chunkedBody(bodyAt) : this.#sizedBody(bodyAt, Number(length));
    if (body === null) return;
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#received = Buffer.alloc(0);
    waiting?.resolve({ status: Number(header.slice(9, 12)), body });
  }

  #sizedBody(at: number, length: number): Buffer | null {
    return this.#received.length < at + length ? null : this.#received.subarray(at, at + length);
  }

  #chunkedBody(at: number): Buffer | null {
    const chunks: Buffer[] = [];
    for (;;) {
      const lineEnd = this.#received.indexOf("\r\n", at);
      if (lineEnd < 0) return null;
      const size = Number.parseInt(this.#received.toString("latin1", at, lineEnd), 16);
      const end = lineEnd + 2 + size + 2;
      if (this.#received.length < end) return null;
      if (size === 0) return Buffer.concat(chunks);
      chunks.push(this.#received.subarray(lineEnd + 2, end - 2));
      at = end;
    }
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error);
    this.#waiting = null;
  }
}
