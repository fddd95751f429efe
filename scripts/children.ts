/**
 * Processes that a script starts and must not leave behind: when this process is asked to end (SIGINT, SIGTERM,
 * SIGHUP), when the one that started it is gone, or when it ends in any other way, so do they. After SIGKILL on this
 * process it is a guard that ends them.
 */
import { spawn, type ChildProcess } from "node:child_process";
import type { Readable } from "node:stream";
import { Guard } from "./guard.ts";

/** Lines of output kept for the report of a crash. */
const KEPT_LINES = 40;

const PARENT_CHECK_MS = 250;

const living = new Set<Child>();
const guard = new Guard();
const onTermination = new Set<() => Promise<void>>();
let watching = false;

export type LineListener = (line: string, source: "stdout" | "stderr") => void;

export type ChildOptions = {
  env?: Record<string, string>;
  /** Opens one more pipe, as descriptor 3, to read from. */
  control?: boolean;
  /** Told every line of output as it comes. */
  onLine?: LineListener;
};

export type End = {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Both in words. */
  how: string;
};

export class Child {
  readonly process: ChildProcess;
  readonly name: string;
  /** Settles when the process is gone. Never rejects. */
  readonly ended: Promise<End>;
  /** Descriptor 3, if `control` was asked for. */
  readonly control: Readable | null;
  readonly #lines: string[] = [];
  #running = true;

  constructor(name: string, command: string, args: string[], options: ChildOptions = {}) {
    watch();
    this.name = name;
    this.process = spawn(command, args, {
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe", ...(options.control ? ["pipe" as const] : [])],
    });
    living.add(this);
    const { pid } = this.process;
    if (pid !== undefined) guard.add(pid);
    for (const source of ["stdout", "stderr"] as const) {
      eachLine(this.process[source], (line) => {
        this.#lines.push(line);
        if (this.#lines.length > KEPT_LINES) this.#lines.shift();
        options.onLine?.(line, source);
      });
    }
    this.control = options.control ? (this.process.stdio[3] as Readable) : null;
    this.ended = new Promise((resolve) => {
      const settle = (end: End): void => {
        this.#running = false;
        living.delete(this);
        if (pid !== undefined) guard.remove(pid);
        resolve(end);
      };
      const { process: started } = this;
      started.once("error", (error) => settle({ code: null, signal: null, how: `not started: ${error.message}` }));
      started.once("exit", (code, signal) => {
        settle({ code, signal, how: signal ? `killed by ${signal}` : `exit code ${code}` });
      });
    });
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error(`${this.name} was never started`);
    return this.process.pid;
  }

  get running(): boolean {
    return this.#running;
  }

  /** The last lines of its output, indented. */
  get tail(): string {
    return this.#lines.map((line) => `  ${line}`).join("\n");
  }

  /** Asks the process to end and kills it after `boundMs`. Resolves when it is gone. */
  async stop(boundMs = 3000, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (!this.#running) return;
    this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill("SIGKILL"), boundMs);
    await this.ended;
    clearTimeout(timer);
  }
}

/** Runs `work` when this process is asked to end, before its children are stopped. Gives the way to take it back. */
export function beforeTermination(work: () => Promise<void>): () => void {
  watch();
  onTermination.add(work);
  return () => onTermination.delete(work);
}

/** Ends this process as a signal would: first the given work, then all children, then exit. */
export async function terminate(code: number): Promise<never> {
  await Promise.allSettled([...onTermination].map((work) => work()));
  await Promise.allSettled([...living].map((child) => child.stop()));
  process.exit(code);
}

function watch(): void {
  if (watching) return;
  watching = true;
  guard.start();
  const signals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
  for (const [signal, number] of Object.entries(signals)) {
    let asked = 0;
    process.on(signal, () => {
      // npm passes Ctrl-C on although the terminal has sent it to everyone: only a later second one means "now".
      if (asked === 0) void terminate(128 + number);
      else if (Date.now() - asked > 500) process.exit(128 + number);
      asked ||= Date.now();
    });
  }
  // npm and its shell may end without passing the signal on.
  const parent = process.ppid;
  if (process.env["npm_lifecycle_event"] !== undefined && process.platform !== "win32") {
    setInterval(() => process.ppid === parent || void terminate(1), PARENT_CHECK_MS).unref();
  }
  process.on("exit", () => {
    for (const child of living) child.process.kill("SIGKILL");
    guard.stop();
  });
}

function eachLine(stream: Readable | null, take: (line: string) => void): void {
  let rest = "";
  stream?.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(line);
  });
  stream?.on("end", () => {
    if (rest !== "") take(rest);
  });
}
