/** What has come of one request so far: the deepest exit held, the legs, the reasons. The answer and the report are read off it. */
import type { Application } from "../protocol/application.ts";
import { DystriError } from "../protocol/errors.ts";
import type { EdgeView, ExitResult, Leg, NodeView, Outcome, Report, Tier } from "../protocol/plan.ts";
import type { InputTensor } from "../protocol/tensor.ts";

/** What an attempt needs of its request. Instants are on its driver's clock. */
export type AttemptRequest = {
  application: Application;
  input: InputTensor;
  /** The deadline counts from here. */
  receivedAt: number;
  deadlineMs: number;
  /** The deepest exit that the asker holds already: nothing that is not deeper is worth its time. */
  heldElsewhere?: number;
};

/** One entry of Server-Timing, measured by the driver across I/O. */
export type AttemptTiming = { name: string; durMs: number; desc?: string };

export type AttemptAnswer = {
  answer: ExitResult;
  tier: Tier;
  node: string | null;
  deadlineMs: number;
  deadlineMet: boolean;
  /** A deeper rung was planned or started and failed. */
  degraded: boolean;
  /** Why this answer: one short sentence. */
  reason: string;
  /** From receipt. */
  predictedMs: number;
  totalMs: number;
  /** Where a node answered, by its own clock. */
  queueMs?: number;
  computeMs?: number;
  timing: AttemptTiming[];
};

export type Held = Pick<AttemptAnswer, "tier" | "node" | "predictedMs" | "queueMs" | "computeMs"> & {
  exit: ExitResult;
};

export class AttemptRecord {
  readonly legs: Leg[] = [];
  readonly nodes: NodeView[] = [];
  readonly timing: AttemptTiming[] = [];
  /** Why the answer is as good as planned. */
  reason = "";
  /** What the caller is told when no exit has finished, where the failure has a code of its own. */
  failure: DystriError | null = null;
  #outcome: Outcome = "failed";
  readonly #request: AttemptRequest;
  #held: Held | null = null;
  /** The deepest rung that was planned or started and did not come. */
  #failedRung = -1;
  #failedReason = "nothing could be run";

  constructor(request: AttemptRequest) {
    this.#request = request;
  }

  get held(): ExitResult | undefined {
    return this.#held?.exit;
  }

  /** An exit has finished. The deepest is kept; of equals the later one. */
  hold(held: Held): void {
    if (!this.#held || held.exit.exit >= this.#held.exit.exit) this.#held = held;
  }

  /** `rung` was planned or started and did not come. */
  failed(rung: number, reason: string): void {
    this.#failedRung = Math.max(this.#failedRung, rung);
    this.#failedReason = reason;
  }

  /** The client has gone. */
  cancelled(): void {
    this.#outcome = "cancelled";
    this.failure = new DystriError("client_gone", "the client closed the connection");
  }

  /** The reply. Throws DystriError when there is none: no exit has finished, or the client has gone. */
  answer(now: number): AttemptAnswer {
    const { receivedAt, deadlineMs } = this.#request;
    const totalMs = now - receivedAt;
    const held = this.#held;
    if (!held || this.#outcome === "cancelled") throw this.#noAnswer(totalMs);
    const { exit, ...where } = held;
    const deadlineMet = totalMs <= deadlineMs;
    const degraded = this.#failedRung > exit.exit;
    this.#outcome = deadlineMet ? "onTime" : "late";
    return {
      ...where,
      answer: exit,
      deadlineMs,
      deadlineMet,
      degraded,
      reason: degraded ? this.#failedReason : this.reason,
      totalMs,
      timing: [...this.timing, { name: "total", durMs: totalMs }],
    };
  }

  /** What the controller is told, after `answer`. `edge`: what the driver last saw of the edge. */
  report(planId: string, edge: EdgeView | undefined): Report {
    return {
      planId,
      application: this.#request.application.name,
      outcome: this.#outcome,
      rung: this.held?.exit ?? -1,
      bin: this.held?.bin ?? -1,
      legs: this.legs,
      nodes: this.nodes,
      ...(edge ? { edge } : {}),
    };
  }

  #noAnswer(totalMs: number): DystriError {
    const { deadlineMs } = this.#request;
    if (this.failure) return this.failure;
    if (this.legs.every((leg) => leg.end === "refused") && totalMs < deadlineMs) {
      this.#outcome = "rejected";
      return new DystriError("overloaded", this.#failedReason, { deadlineMs, retryAfterMs: 1000 });
    }
    return new DystriError("deadline_exceeded", `${this.#failedReason}; no exit had finished`, {
      deadlineMs,
      hint: "raise deadline_ms",
    });
  }
}
