import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { expect, test } from "vitest";

const CHILDREN = new URL("../../scripts/children.ts", import.meta.url).href;

/** A process with two children: one ends at once, the other connects to `port` and lives as long as that connection. */
const parentScript = (port: number): string => `
import { Child } from ${JSON.stringify(CHILDREN)};
await new Child("short", process.execPath, ["-e", ""]).ended;
new Child("long", process.execPath, ["-e", "require('node:net').connect(${port}, '127.0.0.1')"]);
`;

test.skipIf(process.platform === "win32").each(["SIGKILL", "SIGTERM"] as const)(
  "a process that ends by %s leaves no child behind",
  async (signal) => {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    const args = ["--input-type=module", "-e", parentScript(port)];
    const parent = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
    const [connection] = (await once(server, "connection")) as [net.Socket];
    const closed = once(connection.resume(), "close");
    try {
      const ended = once(parent, "exit");
      parent.kill(signal);
      expect(await ended).toEqual(signal === "SIGKILL" ? [null, signal] : [128 + 15, null]);
      await closed;
    } finally {
      connection.destroy();
      server.close();
    }
  },
);
