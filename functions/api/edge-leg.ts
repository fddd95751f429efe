/** One call of the inference Worker for one request: what went out, what came back, what the clock said around it. */
import { asDystriError, DystriError } from "../../protocol/errors.ts";
import type { RunResult } from "../../protocol/inference.ts";
import type { ExitResult, Leg, Option, Plan } from "../../protocol/plan.ts";
import type { Start } from "../../protocol/tensor.ts";
import { inference, type RemoteJob } from "../stubs.ts";
import { outstanding } from "./edge-views.ts";
import { raceTime, TIMED_OUT } from "./race-time.ts";
import type { ServeContext, ServeRequest } from "./served.ts";

export type EdgeLeg = { leg: Leg; durMs: number } & (
  | { kind: "result"; result: RunResult }
  /** Neither a result nor, after the job was told to stop, what it had finished. */
  | { kind: "late" }
  | { kind: "failed"; error: DystriError }
);

/** Runs option `index` at the edge. Settles by `answerBy` plus half the plan's margin; never rejects. */
export async function runAtEdge(
  context: ServeContext,
  request: ServeRequest,
  plan: Plan,
  option: Option,
  index: number,
  start: Start,
  evidence: ExitResult[],
  answerBy: number,
): Promise<EdgeLeg> {
  const { clock, env } = context;
  const { application, topK } = request;
  const { at, rung, workMs, predictedMs } = option;
  const leg: Leg = {
    at,
    rung,
    workMs,
    predictedMs,
    tookMs: null,
    aheadMs: 0,
    sentBytes: 0,
    end: "lost",
  };
  const back = outstanding(application.platform, workMs);
  const startedAt = clock.now();
  const took = () => clock.now() - startedAt;
  try {
    const remainingMs = answerBy - startedAt;
    const job = { application: application.name, start, plan, option: index, remainingMs, topK, evidence };
    using running = inference(env, application.platform).open(job);
    const result = await resultOf(running, context, answerBy, plan.marginMs / 2);
    if (result === TIMED_OUT) {
      back(undefined, clock.now());
      return { kind: "late", leg: { ...leg, tookMs: took(), profileMs: workMs, end: "late" }, durMs: took() };
    }
    back(result.edge, clock.now());
    const end = result.ended === "late" || result.ended === "refused" ? result.ended : "done";
    const { aheadMs, profileMs } = result;
    return { kind: "result", result, leg: { ...leg, tookMs: took(), aheadMs, profileMs, end }, durMs: took() };
  } catch (cause) {
    back(undefined, clock.now());
    const error = asDystriError(cause) ?? new DystriError("internal", "the inference Worker failed", {}, cause);
    return { kind: "failed", error, leg, durMs: took() };
  }
}

/** The job's result. At the margin the job is told to stop, and what it has finished is taken if it comes within `graceMs`. */
async function resultOf(
  job: RemoteJob,
  { clock, signal }: ServeContext,
  answerBy: number,
  graceMs: number,
): Promise<RunResult | typeof TIMED_OUT> {
  const result = job.result();
  const first = await clock.settled(raceTime(result, answerBy - clock.now(), signal));
  if (first !== TIMED_OUT) return first;
  job.cancel().catch(() => undefined);
  return clock.settled(raceTime(result, answerBy - clock.now() + graceMs, signal));
}
