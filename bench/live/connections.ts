/** Keep-alive connections for an open loop: one that is idle, else a new one, up to a bound; beyond it requests wait in turn. */
import { HttpConnection, type HttpReply } from "../lib/http-connection.ts";

/** Bounds what this process holds open. A request that waits for one of them is late by that, as it should be. */
const MOST_CONNECTIONS = 256;
/** Longer than any time the service is told of. */
const REPLY_BOUND_MS = 5000;

export class Connections {
  readonly #url: string;
  readonly #idle: HttpConnection[] = [];
  readonly #all: HttpConnection[] = [];
  readonly #waiting: ((connection: HttpConnection) => void)[] = [];
  #opened = 0;

  constructor(url: string) {
    this.#url = url;
  }

  /** Sends an encoded request on a connection of its own. Rejects when there is no whole answer in time. */
  async request(bytes: Buffer): Promise<HttpReply> {
    const connection = await this.#take();
    try {
      return await connection.request(bytes);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(connection);
      else this.#idle.push(connection);
    }
  }

  close(): void {
    for (const connection of this.#all) connection.close();
  }

  async #take(): Promise<HttpConnection> {
    const idle = this.#idle.pop();
    if (idle) return idle;
    if (this.#opened >= MOST_CONNECTIONS) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#opened++;
    const connection = await HttpConnection.open(this.#url, REPLY_BOUND_MS);
    this.#all.push(connection);
    return connection;
  }
}
