/**
 * Carries out one request's plan: edge, node, fallback, answer. The guarantee everything here rests on: once one exit
 * has finished, nothing that happens later turns the request into an error; the deepest exit held is the answer when
 * the plan ends or the deadline's margin is reached, whichever is first.
 */
import { DystriError, asDystriError } from "../../protocol/errors.ts";
import type { NodeReply } from "../../protocol/fleet.ts";
import type { RunResult } from "../../protocol/inference.ts";
import type {
  ExitResult,
  Leg,
  NodeView,
  Option,
  Outcome,
  Plan,
  PlanReply,
  PlanRequest,
  Report,
  Tier,
} from "../../protocol/plan.ts";
import type { Start } from "../../protocol/tensor.ts";
import { inference, nodeGateway, userController, type RemoteJob } from "../stubs.ts";
import { edgeView, outstanding } from "./edge-views.ts";
import { raceTime, TIMED_OUT } from "./race-time.ts";
import type { ServeContext, ServeRequest, Served, TimingEntry } from "./served.ts";

type Held = {
  exit: ExitResult;
  tier: Tier;
  node: string | null;
  predictedMs: number;
  queueMs?: number;
  computeMs?: number;
};

/** Serves one request. Throws DystriError when there is no answer to give. Reports to the controller after the reply. */
export async function serve(context: ServeContext, request: ServeRequest): Promise<Served> {
  const plan = await askController(context, request);
  const attempt = new Attempt(context, request, plan);
  try {
    await attempt.follow();
    return attempt.answer();
  } finally {
    attempt.report();
  }
}

/** The plan alone: a dry run. Throws DystriError when the controller refuses. */
export async function askController(
  context: ServeContext,
  request: Omit<ServeRequest, "input" | "topK">,
): Promise<Plan> {
  const { env, clock } = context;
  const view = edgeView(request.application.platform, clock.now());
  const question: PlanRequest = {
    application: request.application.name,
    secretDigest: request.secretDigest,
    remainingMs: request.receivedAt + request.deadlineMs - clock.now(),
    wishes: request.wishes,
    ...(view ? { edge: view } : {}),
  };
  const ask = (): Promise<PlanReply> => userController(env, request.controller).plan(question);
  let reply: PlanReply;
  try {
    // A stub that failed may stay broken: the one retry asks a new one. Planning changes nothing that a repeat could harm.
    reply = await clock.settled(ask().catch(ask));
  } catch (cause) {
    throw new DystriError("internal", "the user's controller did not answer", {}, cause);
  }
  if (reply.ok) return reply.plan;
  throw new DystriError(reply.code, reply.detail, {
    deadlineMs: request.deadlineMs,
    ...(reply.predictedMs === undefined ? {} : { predictedMs: Math.ceil(reply.predictedMs) }),
    ...(reply.code === "deadline_unmeetable" && reply.predictedMs !== undefined
      ? { hint: `raise deadline_ms to ${Math.ceil(1.2 * (reply.predictedMs + request.deadlineMs * 0.05) + 2)}` }
      : {}),
    ...(reply.code === "overloaded" ? { retryAfterMs: 1000 } : {}),
  });
}

class Attempt {
  readonly #context: ServeContext;
  readonly #request: ServeRequest;
  readonly #plan: Plan;
  readonly #answerBy: number;
  readonly #startedAt: number;
  readonly #legs: Leg[] = [];
  readonly #nodes: NodeView[] = [];
  readonly #timing: TimingEntry[] = [];
  #held: Held | null = null;
  /** The deepest rung that was planned or started and did not come. */
  #failedRung = -1;
  #reason = "";
  #outcome: Outcome = "failed";
  #failure: unknown = null;

  constructor(context: ServeContext, request: ServeRequest, plan: Plan) {
    this.#context = context;
    this.#request = request;
    this.#plan = plan;
    this.#answerBy = request.receivedAt + request.deadlineMs - plan.marginMs;
    this.#startedAt = context.clock.now();
    this.#timing.push({ name: "decide", durMs: this.#startedAt - request.receivedAt });
  }

  /** Runs options until the plan stops, nothing is left to try, or time is up. Throws only `client_gone`. */
  async follow(): Promise<void> {
    let index = this.#plan.first;
    let start: Start = { from: "input", input: this.#request.input };
    let fellBack = false;
    while (index >= 0) {
      const option = this.#plan.options[index];
      if (!option) break;
      if (this.#leftMs() <= 0) return this.#fail(option, "the deadline's margin was reached");
      const step: Step =
        option.at.tier === "node" ? await this.#onNode(option, index, start) : await this.#atEdge(option, index, start);
      if (this.#context.signal.aborted) throw this.#clientGone();
      if (step.kind === "go") {
        [index, start] = [step.option, step.start];
      } else if (step.kind === "failed" && !fellBack) {
        fellBack = true;
        index = this.#fallback(index);
        start = { from: "input", input: this.#request.input };
      } else {
        return;
      }
    }
  }

  /** The reply, or the error when no exit has finished. */
  answer(): Served {
    const { clock } = this.#context;
    const { receivedAt, deadlineMs } = this.#request;
    const totalMs = clock.now() - receivedAt;
    const held = this.#held;
    if (!held) throw this.#noAnswer(totalMs);
    const deadlineMet = totalMs <= deadlineMs;
    this.#outcome = deadlineMet ? "onTime" : "late";
    return {
      answer: held.exit,
      tier: held.tier,
      node: held.node,
      deadlineMs,
      deadlineMet,
      degraded: this.#failedRung > held.exit.exit,
      reason: this.#reason,
      predictedMs: held.predictedMs,
      totalMs,
      ...(held.queueMs === undefined ? {} : { queueMs: held.queueMs }),
      ...(held.computeMs === undefined ? {} : { computeMs: held.computeMs }),
      timing: [...this.#timing, { name: "total", durMs: totalMs }],
    };
  }

  /** Tells the controller, after the reply has gone. A lost report costs one sample. */
  report(): void {
    const { env, clock, waitUntil } = this.#context;
    const { controller, application } = this.#request;
    const view = edgeView(application.platform, clock.now());
    const report: Report = {
      planId: this.#plan.planId,
      application: application.name,
      outcome: this.#outcome,
      rung: this.#held?.exit.exit ?? -1,
      bin: this.#held?.exit.bin ?? -1,
      legs: this.#legs,
      nodes: this.#nodes,
      ...(view ? { edge: view } : {}),
    };
    waitUntil(
      userController(env, controller)
        .report(report)
        .catch((error: unknown) =>
          console.warn(JSON.stringify({ event: "report_lost", component: "api", error: String(error) })),
        ),
    );
  }

  async #atEdge(option: Option, index: number, start: Start): Promise<Step> {
    const { clock, env } = this.#context;
    const { application, topK } = this.#request;
    const leg = this.#leg(index, option, 0);
    const back = outstanding(application.platform, option.workMs);
    const startedAt = clock.now();
    let result: RunResult | typeof TIMED_OUT;
    try {
      using job = inference(env, application.platform).open({
        application: application.name,
        start,
        plan: this.#plan,
        option: index,
        remainingMs: this.#leftMs(),
        topK,
        evidence: this.#held ? [this.#held.exit] : [],
      });
      result = await this.#resultOf(job);
    } catch (error) {
      back(undefined, clock.now());
      this.#failure = asDystriError(error) ?? new DystriError("internal", "the inference Worker failed", {}, error);
      leg.end = "lost";
      return this.#failed(option, "the edge failed");
    }
    const tookMs = clock.now() - startedAt;
    if (result === TIMED_OUT) {
      back(undefined, clock.now());
      leg.end = "late";
      this.#timing.push({ name: "edge", durMs: tookMs });
      return this.#stop(option, "the edge did not answer in time");
    }
    back(result.edge, clock.now());
    Object.assign(leg, {
      tookMs,
      aheadMs: result.aheadMs,
      profileMs: result.profileMs,
      end: result.ended === "late" ? "late" : "done",
    });
    const last = result.exits.at(-1);
    this.#timing.push({ name: "edge", durMs: tookMs, desc: last ? `exit ${last.exit + 1}` : result.ended });
    if (last) this.#hold({ exit: last, tier: "edge", node: null, predictedMs: this.#predictedAt(last.exit) });
    switch (result.ended) {
      case "stop":
        this.#reason = `the edge's answer satisfies the plan at confidence ${(last?.confidence ?? 0).toFixed(3)}`;
        return { kind: "done" };
      case "escalate": {
        const cut = result.cut;
        const goal = this.#plan.options[result.option ?? -1];
        if (!goal) return { kind: "done" };
        const next: Start =
          cut && goal.from !== "input" ? { from: goal.from, cut } : { from: "input", input: this.#request.input };
        return { kind: "go", option: result.option ?? -1, start: next };
      }
      case "refused":
        leg.end = "refused";
        return this.#failed(option, "the edge's queue could not make the deadline");
      case "late":
        return this.#stop(option, "time ran out between the edge's stages");
      case "cancelled":
        return this.#stop(option, "the deadline's margin was reached at the edge");
    }
  }

  /** The edge's result. At the margin the job is told to stop, and what it has finished is taken if it comes before the deadline. */
  async #resultOf(job: RemoteJob): Promise<RunResult | typeof TIMED_OUT> {
    const { clock, signal } = this.#context;
    const result = job.result();
    const first = await clock.settled(raceTime(result, this.#leftMs(), signal));
    if (first !== TIMED_OUT) return first;
    job.cancel().catch(() => undefined);
    return clock.settled(raceTime(result, this.#leftMs() + this.#plan.marginMs / 2, signal));
  }

  async #onNode(option: Option, index: number, start: Start): Promise<Step> {
    const { clock, env, signal, waitUntil } = this.#context;
    const node = option.at.tier === "node" ? option.at.node : "";
    const ticket = crypto.randomUUID();
    const payload = start.from === "input" ? start.input : start.cut;
    const leg = this.#leg(index, option, payload.bytes.byteLength);
    const startedAt = clock.now();
    const { rung, minRung } = option;
    const job = {
      ticket,
      application: this.#request.application.name,
      start,
      rung,
      minRung,
      remainingMs: this.#leftMs(),
      topK: this.#request.topK,
    };
    let reply: NodeReply | typeof TIMED_OUT;
    try {
      reply = await clock.settled(raceTime(nodeGateway(env, node).submit(job), this.#leftMs(), signal));
    } catch (error) {
      console.warn(JSON.stringify({ event: "gateway_failed", component: "api", node, error: String(error) }));
      leg.end = "lost";
      return this.#failed(option, `${node}'s gateway was lost`);
    } finally {
      this.#timing.push({ name: "node", durMs: clock.now() - startedAt, desc: node });
    }
    if (reply === TIMED_OUT) {
      waitUntil(
        nodeGateway(env, node)
          .cancel(ticket)
          .catch(() => undefined),
      );
      leg.end = "late";
      return this.#stop(option, `${node} did not answer in time`);
    }
    this.#nodes.push(reply.view);
    switch (reply.kind) {
      case "answer": {
        const tookMs = clock.now() - startedAt;
        const { queueMs, computeMs, exit } = reply;
        Object.assign(leg, { tookMs, queueMs, computeMs, end: "done" });
        const predictedMs = startedAt - this.#request.receivedAt + option.predictedMs;
        this.#hold({ exit, tier: "node", node, predictedMs, queueMs, computeMs });
        this.#reason = `${node} answered with the planned rung`;
        if (exit.exit < option.rung) this.#fail(option, `${node} stepped down to be on time`);
        return { kind: "done" };
      }
      case "refused":
        leg.end = "refused";
        if (reply.code === "not_connected" || reply.code === "silent") leg.end = "lost";
        return this.#failed(option, `${node} refused: ${reply.detail}`);
      case "lost":
        leg.end = "lost";
        return this.#failed(option, `${node} was lost (${reply.reason})`);
    }
  }

  /** Where to go once after a refusal or loss: only to something still in time and deeper than what is held. */
  #fallback(failed: number): number {
    const index = this.#plan.otherwise[failed] ?? -1;
    const option = this.#plan.options[index];
    if (!option || option.predictedMs > this.#leftMs()) return -1;
    return option.rung > (this.#held?.exit.exit ?? -1) ? index : -1;
  }

  #leg(option: number, planned: Option, sentBytes: number): Leg {
    const leg: Leg = { option, predictedMs: planned.predictedMs, tookMs: null, aheadMs: 0, sentBytes, end: "lost" };
    this.#legs.push(leg);
    return leg;
  }

  /** What the plan predicted, from receipt, for an answer of the edge with this exit. */
  #predictedAt(exit: number): number {
    const planned = this.#plan.options.find((option) => option.at.tier === "edge" && option.rung === exit);
    return this.#startedAt - this.#request.receivedAt + (planned?.predictedMs ?? 0);
  }

  #hold(held: Held): void {
    if (!this.#held || held.exit.exit >= this.#held.exit.exit) this.#held = held;
  }

  #fail(option: Option, reason: string): void {
    this.#failedRung = Math.max(this.#failedRung, option.rung);
    this.#reason = reason;
  }

  #failed(option: Option, reason: string): Step {
    this.#fail(option, reason);
    return { kind: "failed" };
  }

  #stop(option: Option, reason: string): Step {
    this.#fail(option, reason);
    return { kind: "done" };
  }

  #leftMs(): number {
    return this.#answerBy - this.#context.clock.now();
  }

  #clientGone(): DystriError {
    this.#outcome = "cancelled";
    return new DystriError("client_gone", "the client closed the connection");
  }

  #noAnswer(totalMs: number): unknown {
    if (this.#failure) return this.#failure;
    const { deadlineMs } = this.#request;
    this.#outcome = this.#legs.every((leg) => leg.end === "refused") ? "rejected" : "failed";
    return this.#outcome === "rejected" && totalMs < deadlineMs
      ? new DystriError("overloaded", this.#reason, { deadlineMs, retryAfterMs: 1000 })
      : new DystriError("deadline_exceeded", `${this.#reason}; no exit had finished`, {
          deadlineMs,
          hint: "raise deadline_ms",
        });
  }
}

/** What to do after one option: stop there, go on with another, or look for the fallback. */
type Step = { kind: "done" } | { kind: "failed" } | { kind: "go"; option: number; start: Start };
