/** One workerd process serving a configuration: started, waited for, stopped, its crash reported. */
import { createRequire } from "node:module";
import path from "node:path";
import { Child, type LineListener } from "./children.ts";
import { ROOT } from "./workers.ts";

/** From start to listening; on a busy machine compiling the modules takes a second or two. */
const LISTEN_BOUND_MS = 30_000;
/** workerd's cache of its own scripts is made for V8's flags as they come: with others (V8_FLAGS) it compiles them once, and says so. */
const EXPECTED_LINE = "per-isolate bootstrap compile cache failed its compatibility check";

export type Workerd = {
  child: Child;
  /** Port of every socket, by its name. */
  ports: Map<string, number>;
};

/** The runtime's own binary, without the Node script in front of it: signals reach it and nothing lies between. */
export function workerdBinary(): string {
  const exe = process.platform === "win32" ? ".exe" : "";
  const os = { linux: "linux", darwin: "darwin", win32: "windows" }[process.platform as "linux" | "darwin" | "win32"];
  const name = `@cloudflare/workerd-${os}-${process.arch === "arm64" && os !== "windows" ? "arm64" : "64"}`;
  const require = createRequire(path.join(ROOT, "node_modules/workerd/package.json"));
  try {
    return require.resolve(`${name}/bin/workerd${exe}`);
  } catch {
    throw new Error(
      `workerd does not run on ${process.platform} ${process.arch}: the package ${name} is not installed`,
    );
  }
}

/**
 * Starts workerd and waits until all `sockets` listen. Rejects, with the last lines of its output, when it ends before
 * that or takes longer than 30 s; the process is gone by then. `experimental` lets Workers use flags such as unsafe_module.
 */
export async function startWorkerd(
  config: string,
  sockets: string[],
  env: Record<string, string>,
  { experimental = false, onLine }: { experimental?: boolean; onLine?: LineListener | undefined } = {},
): Promise<Workerd> {
  const told: LineListener = (line, source) => {
    if (!line.includes(EXPECTED_LINE)) onLine?.(line, source);
  };
  const options = { env, control: true, onLine: told };
  const args = ["serve", config, "--control-fd=3", ...(experimental ? ["--experimental"] : [])];
  const child = new Child("workerd", workerdBinary(), args, options);
  const ports = new Map<string, number>();
  const listening = new Promise<"listening">((resolve) => {
    let rest = "";
    child.control?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const message = JSON.parse(line) as { event: string; socket?: string; port?: number };
        if (message.event === "listen" && message.socket && message.port) ports.set(message.socket, message.port);
      }
      if (sockets.every((name) => ports.has(name))) resolve("listening");
    });
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, LISTEN_BOUND_MS, `did not listen within ${LISTEN_BOUND_MS / 1000} s`);
  });
  const first = await Promise.race([listening, child.ended.then(({ how }) => how), late]);
  clearTimeout(timer);
  if (first === "listening") return { child, ports };
  await child.stop();
  throw new Error(`workerd did not start (${first}):\n${child.tail}`);
}
