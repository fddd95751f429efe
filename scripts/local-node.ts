/** One node agent on this machine: a process of its own that enrols and dials in like any other. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { Child } from "./children.ts";
import type { Operator } from "./operator.ts";
import { poll } from "./poll.ts";
import { ROOT } from "./workers.ts";

/** An agent loads and profiles its rungs before it connects. */
const ONLINE_BOUND_MS = 60_000;

export type NodeHandle = { id: string; pid: number; process: Child };

/**
 * Enrols and starts a node and waits until the coordinator calls it online. A `stateDir` of an earlier run brings its
 * key and certificate back; the token then only matters if they are refused. `options`: more of its command line. Rejects, with the process ended, when it
 * does not come online within a minute.
 */
export async function startNode(
  operator: Operator,
  id: string,
  stateDir: string,
  options: readonly string[] = [],
): Promise<NodeHandle> {
  await mkdir(stateDir, { recursive: true });
  const token = await operator.mintEnrolment(id);
  const args = [
    path.join(ROOT, "nodes/agent.ts"),
    "--url",
    operator.url,
    "--state",
    stateDir,
    "--name",
    id,
    ...options,
  ];
  const child = new Child(id, process.execPath, args, { env: { DYSTRI_ENROLMENT_TOKEN: token } });
  try {
    await poll(ONLINE_BOUND_MS, `${id} did not come online`, child, async () => {
      const state = await operator.nodeState(id);
      return state === "online" ? null : `the node is ${state ?? "unknown to the coordinator"}`;
    });
  } catch (error) {
    await child.stop();
    throw error;
  }
  return { id, pid: child.pid, process: child };
}
