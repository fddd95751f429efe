/** The RPC of an inference Worker: a job goes in, what its exits said comes out. */
import type { Claim } from "./fleet.ts";
import type { JsonText } from "./json-text.ts";
import type { EdgeView, ExitResult, Plan } from "./plan.ts";
import type { PackedTensor, Start } from "./tensor.ts";

/** One request's work at the edge. The whole plan travels, so that stages can decide at every exit without a call. */
export type EdgeJob = {
  application: string;
  start: Start;
  plan: Plan;
  /** Index into `plan.options`: the edge option to run. */
  option: number;
  /** Until the result must have left this machine. */
  remainingMs: number;
  /** How many labels each exit reports. */
  topK: number;
  /** Exits that finished elsewhere before. */
  evidence: ExitResult[];
  claim: Claim;
};

/** A job as it crosses RPC. */
export type EdgeJobMessage = Omit<EdgeJob, "plan"> & { plan: JsonText<Plan> };

/**
 * `stop`: the plan is satisfied. `escalate`: go on with `option`, elsewhere; `cut` is there if that option resumes from it.
 * `late`: the plan wanted more, but time ran out between stages, or a stage failed (`failure`); the exits before stand.
 * `cancelled`: asked to. `refused`: the queue could not make it, nothing was run.
 */
export type RunResult = {
  /** In the order they ran. Only the deepest carries its labels; of the others the evidence is all that travels. */
  exits: ExitResult[];
  ended: "stop" | "escalate" | "late" | "cancelled" | "refused";
  option?: number;
  cut?: PackedTensor;
  /** Why a deeper stage failed, if one did after an exit had finished. */
  failure?: string;
  edge: EdgeView;
  /**
   * Profile milliseconds of the stages that ran for this job; and of what ran before its last one since it came, or, where
   * it was refused, of what it found queued.
   */
  profileMs: number;
  aheadMs: number;
};

/** What `debug()` tells about an isolate. */
export type IsolateReport = {
  wasmBytes: number;
  sessions: { application: string; rung: number; file: string; bytes: number }[];
  queued: number;
  running: boolean;
};
