import net from "node:net";
import { once } from "node:events";
import { afterEach, expect, test, vi } from "vitest";
import { encodeRequest, HttpConnection } from "../../bench/lib/http-connection.ts";

const SIZED = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

const servers: net.Server[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const server of servers.splice(0)) server.close();
});

/** Calls `answer` with every piece of a request that arrives; `n` counts them, from 1, over all connections. */
async function serverThat(answer: (socket: net.Socket, n: number) => void): Promise<string> {
  let n = 0;
  const server = net.createServer((socket) => {
    socket.on("data", () => answer(socket, ++n));
    // A client that has given up resets the connection.
    socket.on("error", () => undefined);
  });
  servers.push(server);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${(server.address() as net.AddressInfo).port}/x`;
}

const requestTo = (url: string): Buffer => encodeRequest("GET", url, {}, new Uint8Array());

test("a request after the server has closed the idle connection is answered on a new one", async () => {
  const closed = Promise.withResolvers<void>();
  const url = await serverThat((socket, n) => {
    socket.once("close", () => closed.resolve());
    socket.end(`${SIZED}${n}!`);
  });
  const connection = await HttpConnection.open(url);
  expect((await connection.request(requestTo(url))).body.toString()).toBe("1!");
  await closed.promise;
  expect((await connection.request(requestTo(url))).body.toString()).toBe("2!");
  connection.close();
});

test("a connection that ends in the middle of an answer is an error, and the next request is well", async () => {
  const url = await serverThat((socket, n) => void (n === 1 ? socket.end(`${SIZED}4`) : socket.write(`${SIZED}42`)));
  const connection = await HttpConnection.open(url);
  await expect(connection.request(requestTo(url))).rejects.toThrow("the server closed the connection");
  expect((await connection.request(requestTo(url))).body.toString()).toBe("42");
  connection.close();
});

test("no answer within the bound is an error that names the request, and a late one is nobody's", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const arrived = Promise.withResolvers<void>();
  const sockets: net.Socket[] = [];
  const url = await serverThat((socket, n) => {
    sockets.push(socket);
    if (n === 1) return arrived.resolve();
    for (const each of sockets) each.write(`${SIZED}${each === socket ? "42" : "no"}`);
  });
  const connection = await HttpConnection.open(url, 100);
  const silent = connection.request(requestTo(url));
  await arrived.promise;
  vi.advanceTimersByTime(100);
  await expect(silent).rejects.toThrow(/no answer to GET \/x for 100 ms; 0 bytes .* had come; local port \d/);
  expect((await connection.request(requestTo(url))).body.toString()).toBe("42");
  connection.close();
});

test.each([
  ["sized", `${SIZED}42`, "42"],
  ["chunked", `${CHUNKED}1\r\n4\r\n1\r\n2\r\n0\r\n\r\n`, "42"],
])("a %s answer is the same in one piece and byte by byte", async (_, answer, body) => {
  const url = await serverThat((socket, n) => {
    socket.setNoDelay(true);
    if (n === 1) return void socket.write(answer);
    const send = (at: number): void => {
      socket.write(answer.charAt(at));
      if (at + 1 < answer.length) setImmediate(send, at + 1);
    };
    send(0);
  });
  const connection = await HttpConnection.open(url);
  for (let i = 0; i < 2; i++) {
    const reply = await connection.request(requestTo(url));
    expect([reply.status, reply.body.toString()]).toEqual([200, body]);
  }
  connection.close();
});

test.each([
  ["neither length nor chunks", "HTTP/1.1 200 OK\r\n\r\nhello\r\n"],
  ["a chunk without a size", `${CHUNKED}?\r\n`],
])("%s: an error, no endless search", async (_, answer) => {
  const url = await serverThat((socket) => void socket.write(answer));
  const connection = await HttpConnection.open(url);
  await expect(connection.request(requestTo(url))).rejects.toThrow("an answer that cannot be read: HTTP/1.1 200 OK");
});
