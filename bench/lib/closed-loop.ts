/** Closed loops: every connection sends its next request when the last is answered. */
import type { HttpConnection } from "./http-connection.ts";

/** Milliseconds of `count` requests in sequence. Rejects at the first answer that is not 200, with its text. */
export async function inSequence(connection: HttpConnection, request: Buffer, count: number): Promise<number[]> {
  const tookMs: number[] = [];
  for (let i = 0; i < count; i++) {
    const sentAt = performance.now();
    await expectOk(connection, request);
    tookMs.push(performance.now() - sentAt);
  }
  return tookMs;
}

/** Requests answered per second with all connections busy for `windowMs`. `requests[i]` is what connection i repeats. */
export async function throughput(connections: HttpConnection[], requests: Buffer[], windowMs: number): Promise<number> {
  const startedAt = performance.now();
  const until = startedAt + windowMs;
  const counts = await Promise.all(
    connections.map(async (connection, i) => {
      const request = requests[i % requests.length];
      if (!request) throw new Error("no request to send");
      let count = 0;
      while (performance.now() < until) {
        await expectOk(connection, request);
        count++;
      }
      return count;
    }),
  );
  return (counts.reduce((sum, count) => sum + count, 0) / (performance.now() - startedAt)) * 1000;
}

async function expectOk(connection: HttpConnection, request: Buffer): Promise<void> {
  const { status, body } = await connection.request(request);
  if (status !== 200) throw new Error(`answered ${status}: ${body.toString("utf8").slice(0, 500)}`);
}
