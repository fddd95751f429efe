/**
 * Ends the children of this process when it is killed and cannot do so itself: a shell of its own, told of every child,
 * that reads from a pipe. The system closes the pipe with this process, however that ends.
 */
import { spawn, type ChildProcess } from "node:child_process";

/** What children may take to end when asked. */
const PATIENCE_S = 3;

/** In a group of its own, so that Ctrl-C in the terminal does not reach it. Reads "+ <pid>" and "- <pid>" by line. */
const SCRIPT = `
children=
while read -r change pid; do
  case $change in
    +) children="$children $pid" ;;
    -) others=
       for child in $children; do [ "$child" = "$pid" ] || others="$others $child"; done
       children=$others ;;
  esac
done
[ -n "$children" ] || exit 0
kill -TERM $children
sleep ${PATIENCE_S}
kill -KILL $children
`;

export class Guard {
  #shell: ChildProcess | null = null;

  /** Does nothing on Windows, which has no such shell. */
  start(): void {
    if (this.#shell || process.platform === "win32") return;
    const shell = spawn("/bin/sh", ["-c", SCRIPT], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
    this.#shell = shell;
    // Without its guard a process still ends its children in all other cases.
    shell.on("error", () => undefined);
    shell.stdin?.on("error", () => undefined);
    shell.unref();
    // A pipe is a socket here, and would keep this process alive.
    (shell.stdin as { unref?: () => void } | null)?.unref?.();
  }

  add(pid: number): void {
    this.#shell?.stdin?.write(`+ ${pid}\n`);
  }

  /** The child has ended: its number may soon be another process's. */
  remove(pid: number): void {
    this.#shell?.stdin?.write(`- ${pid}\n`);
  }

  /** This process has ended its children itself, or is about to. */
  stop(): void {
    this.#shell?.kill("SIGKILL");
  }
}
