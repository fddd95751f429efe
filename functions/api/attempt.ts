/**
 * One request's way through its plan: edge, node, fallback, answer. The guarantee everything here rests on: once one
 * exit has finished, nothing that happens later turns the request into an error; the deepest exit held is the answer
 * when the plan ends or the deadline's margin is reached, whichever is first.
 */
import { withoutMachineOf } from "../../control/replan.ts";
import { DystriError } from "../../protocol/errors.ts";
import type { NodeReply } from "../../protocol/fleet.ts";
import type { RunResult } from "../../protocol/inference.ts";
import type { ExitResult, Leg, NodeView, Option, Outcome, Plan, Report, Tier } from "../../protocol/plan.ts";
import type { Start } from "../../protocol/tensor.ts";
import { runAtEdge } from "./edge-leg.ts";
import { edgeView } from "./edge-views.ts";
import { runOnNode } from "./node-leg.ts";
import type { ServeContext, ServeRequest, Served, TimingEntry } from "./served.ts";

type Held = {
  exit: ExitResult;
  tier: Tier;
  node: string | null;
  predictedMs: number;
  queueMs?: number;
  computeMs?: number;
};

/** What to do after one option: stop there, look for the fallback, or go on with another. */
type Step = { kind: "done" } | { kind: "failed" } | { kind: "go"; option: number; start: Start };

const DONE: Step = { kind: "done" };

export class Attempt {
  readonly #context: ServeContext;
  readonly #request: ServeRequest;
  #plan: Plan;
  readonly #answerBy: number;
  readonly #plannedAt: number;
  readonly #legs: Leg[] = [];
  readonly #nodes: NodeView[] = [];
  readonly #timing: TimingEntry[] = [];
  #held: Held | null = null;
  /** The deepest rung that was planned or started and did not come. */
  #failedRung = -1;
  #failedReason = "nothing could be run";
  #reason = "";
  #outcome: Outcome = "failed";
  #failure: DystriError | null = null;

  constructor(context: ServeContext, request: ServeRequest, plan: Plan) {
    this.#context = context;
    this.#request = request;
    this.#plan = plan;
    this.#answerBy = request.receivedAt + request.deadlineMs - plan.marginMs;
    this.#plannedAt = context.clock.now();
    this.#timing.push({ name: "decide", durMs: this.#plannedAt - request.receivedAt });
  }

  /** Runs options until the plan stops, nothing is left to try, or time is up. Throws only DystriError client_gone. */
  async follow(): Promise<void> {
    const input: Start = { from: "input", input: this.#request.input };
    let index = this.#plan.first;
    let start: Start = input;
    let fellBack = false;
    for (let option = this.#plan.options[index]; option; option = this.#plan.options[index]) {
      if (this.#leftMs() <= 0) return this.#failed(option.rung, "the deadline's margin was reached");
      const step: Step = await (option.at.tier === "node"
        ? this.#onNode(option.at.node, option, start)
        : this.#atEdge(option, index, start));
      if (this.#context.signal.aborted) {
        this.#outcome = "cancelled";
        throw new DystriError("client_gone", "the client closed the connection");
      }
      if (step.kind === "done" || (step.kind === "failed" && fellBack)) return;
      if (step.kind === "go") {
        [index, start] = [step.option, step.start];
      } else {
        [index, start, fellBack] = [this.#fallBack(index), input, true];
      }
    }
  }

  /** The reply. Throws DystriError when no exit has finished. */
  answer(): Served {
    const { receivedAt, deadlineMs } = this.#request;
    const totalMs = this.#context.clock.now() - receivedAt;
    const held = this.#held;
    if (!held) throw this.#noAnswer(totalMs);
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
      reason: degraded ? this.#failedReason : this.#reason,
      totalMs,
      timing: [...this.#timing, { name: "total", durMs: totalMs }],
    };
  }

  /** What the controller is told. */
  report(): Report {
    const { platform, name } = this.#request.application;
    const view = edgeView(platform, this.#context.clock.now());
    return {
      planId: this.#plan.planId,
      application: name,
      outcome: this.#outcome,
      rung: this.#held?.exit.exit ?? -1,
      bin: this.#held?.exit.bin ?? -1,
      legs: this.#legs,
      nodes: this.#nodes,
      ...(view ? { edge: view } : {}),
    };
  }

  async #atEdge(option: Option, index: number, start: Start): Promise<Step> {
    const evidence = this.#held ? [this.#held.exit] : [];
    const run = await runAtEdge(
      this.#context,
      this.#request,
      this.#plan,
      option,
      index,
      start,
      evidence,
      this.#answerBy,
    );
    this.#legs.push(run.leg);
    const last = run.kind === "result" ? run.result.exits.at(-1) : undefined;
    this.#timing.push({ name: "edge", durMs: run.durMs, ...(last ? { desc: `exit ${last.exit + 1}` } : {}) });
    switch (run.kind) {
      case "result":
        if (last) this.#hold({ exit: last, tier: "edge", node: null, predictedMs: this.#predictedAt(last.exit) });
        return this.#afterEdge(option, run.result);
      case "late":
        this.#failed(option.rung, "the edge did not answer in time");
        return DONE;
      case "failed":
        this.#failure = run.error;
        this.#failed(option.rung, "the edge failed");
        return { kind: "failed" };
    }
  }

  #afterEdge(option: Option, result: RunResult): Step {
    switch (result.ended) {
      case "stop":
        this.#reason = `the edge's answer satisfies the plan at confidence ${(this.#held?.exit.confidence ?? 0).toFixed(3)}`;
        return DONE;
      case "escalate": {
        const goal = this.#plan.options[result.option ?? -1];
        if (!goal || result.option === undefined) return DONE;
        const start: Start =
          result.cut && goal.from !== "input"
            ? { from: goal.from, cut: result.cut }
            : { from: "input", input: this.#request.input };
        return { kind: "go", option: result.option, start };
      }
      case "refused":
        this.#failed(option.rung, "the edge's queue could not make the deadline");
        return { kind: "failed" };
      case "late":
        if (result.failure)
          console.error(JSON.stringify({ event: "stage_failed", component: "api", detail: result.failure }));
        this.#failed(
          this.#goalAfterHeld(option),
          result.failure ? "a stage failed at the edge" : "time ran out between the edge's stages",
        );
        return DONE;
      case "cancelled":
        this.#failed(this.#goalAfterHeld(option), "the deadline's margin was reached at the edge");
        return DONE;
    }
  }

  async #onNode(node: string, option: Option, start: Start): Promise<Step> {
    const run = await runOnNode(this.#context, this.#request, node, option, start, this.#answerBy);
    this.#legs.push(run.leg);
    this.#timing.push({ name: "node", durMs: run.durMs, desc: node });
    if (run.kind === "late") {
      this.#failed(option.rung, `${node} did not answer in time`);
      return DONE;
    }
    if (run.kind === "lost") {
      this.#failed(option.rung, `${node}'s gateway was lost`);
      return { kind: "failed" };
    }
    this.#nodes.push(run.reply.view);
    return this.#afterNode(node, option, run.reply, this.#context.clock.now() - run.durMs);
  }

  #afterNode(node: string, option: Option, reply: NodeReply, startedAt: number): Step {
    switch (reply.kind) {
      case "answer": {
        const { exit, queueMs, computeMs } = reply;
        const predictedMs = startedAt - this.#request.receivedAt + option.predictedMs;
        this.#hold({ exit, tier: "node", node, predictedMs, queueMs, computeMs });
        this.#reason = `${node} answered with the planned rung`;
        if (exit.exit < option.rung) this.#failed(option.rung, `${node} stepped down to be on time`);
        return DONE;
      }
      case "refused":
        this.#failed(option.rung, `${node} refused: ${reply.detail}`);
        return { kind: "failed" };
      case "lost":
        this.#failed(option.rung, `${node} was lost (${reply.reason})`);
        return { kind: "failed" };
    }
  }

  /** Where to go once after a refusal or loss: only to something still in time and deeper than what is held. */
  #fallBack(failed: number): number {
    const index = this.#plan.otherwise[failed] ?? -1;
    const option = this.#plan.options[index];
    const worthIt =
      option && option.predictedMs <= this.#leftMs() && option.rung > (this.#held?.exit.exit ?? -1) ? index : -1;
    this.#plan = withoutMachineOf(this.#plan, failed, worthIt);
    return worthIt;
  }

  /** The rung the plan would have gone on to from the exit held; the option's own when nothing is held. */
  #goalAfterHeld(option: Option): number {
    const held = this.#held?.exit;
    const step = held ? this.#plan.next[held.exit]?.[held.bin] : undefined;
    return typeof step === "number" ? (this.#plan.options[step]?.rung ?? option.rung) : option.rung;
  }

  /** What the plan predicted, from receipt, for an answer of the edge with this exit. */
  #predictedAt(exit: number): number {
    const planned = this.#plan.options.find((option) => option.at.tier === "edge" && option.rung === exit);
    return this.#plannedAt - this.#request.receivedAt + (planned?.predictedMs ?? 0);
  }

  #hold(held: Held): void {
    if (!this.#held || held.exit.exit >= this.#held.exit.exit) this.#held = held;
  }

  #failed(rung: number, reason: string): void {
    this.#failedRung = Math.max(this.#failedRung, rung);
    this.#failedReason = reason;
  }

  #leftMs(): number {
    return this.#answerBy - this.#context.clock.now();
  }

  #noAnswer(totalMs: number): DystriError {
    const { deadlineMs } = this.#request;
    if (this.#failure) return this.#failure;
    if (this.#legs.every((leg) => leg.end === "refused") && totalMs < deadlineMs) {
      this.#outcome = "rejected";
      return new DystriError("overloaded", this.#failedReason, { deadlineMs, retryAfterMs: 1000 });
    }
    return new DystriError("deadline_exceeded", `${this.#failedReason}; no exit had finished`, {
      deadlineMs,
      hint: "raise deadline_ms",
    });
  }
}
