/** The executor of the node in node-fixture.ts, and jobs that arrive there. */
import { expect } from "vitest";
import { NodeExecutor, type ArrivingJob } from "../../control/node-executor.ts";
import type { NodeRegistration } from "../../protocol/fleet.ts";
import { registration } from "./node-fixture.ts";

/** A job that wants the deepest rung and nothing less, and has a second. */
export const job = (id: string, over: Partial<ArrivingJob> = {}): ArrivingJob => ({
  id,
  application: "tiny",
  from: "input",
  rung: 2,
  minRung: 2,
  remainingMs: 1000,
  ...over,
});

/** Milliseconds of each rung's stage alone, as in node-fixture.ts. */
export const STAGE_MS = [2, 3, 20];

/** An executor in which up to 100 jobs may wait per lane. */
export const executor = (over: NodeRegistration = registration()): NodeExecutor => new NodeExecutor(over, 100);

/** Starts what is next and expects it to be a run of these jobs. */
export function started(node: NodeExecutor, now: number, ids: string[], rung: number): number {
  const step = node.dispatch(now);
  expect(step).toMatchObject({ do: "run", ids, rung });
  return step?.do === "run" ? step.batch : -1;
}
