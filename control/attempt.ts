/**
 * One request's way through its plan, as a pure state machine: events with their instant in, actions out. Whoever
 * drives it makes the calls it asks for and tells it how they ended; it holds the exits, the legs and the reasons.
 *
 * Guarantees, whatever the order of events: the request finishes exactly once; once one exit has finished, nothing that
 * happens later turns the request into an error; the deepest exit held is the answer when the plan ends or the
 * deadline's margin is reached, whichever is first; after a refusal or loss there is at most one other try with an exit
 * held, and without one at most one for each machine that fails, and only where it is predicted to fit the time left.
 */
import type { DystriError } from "../protocol/errors.ts";
import type { NodeReply } from "../protocol/fleet.ts";
import type { RunResult } from "../protocol/inference.ts";
import type { EdgeView, ExitResult, Leg, Option, Plan, Report } from "../protocol/plan.ts";
import type { Start } from "../protocol/tensor.ts";
import { AttemptRecord, type AttemptAnswer, type AttemptRequest } from "./attempt-record.ts";
import { fallbackOf, onMachineOf, sameMachine, withoutMachineOf } from "./replan.ts";

/** `call` names a call until it has ended; `cancel` says that its outcome is no longer wanted, or wanted at once. */
export type AttemptAction =
  | {
      do: "edge";
      call: number;
      plan: Plan;
      /** Index into `plan.options`. */
      option: number;
      start: Start;
      evidence: ExitResult[];
      remainingMs: number;
    }
  | { do: "node"; call: number; node: string; option: Option; start: Start; remainingMs: number }
  | { do: "cancel"; call: number }
  /** Call `timeUp` after that long; it takes the place of an earlier wake. */
  | { do: "wake"; afterMs: number }
  | { do: "finished" };

/** A call that has not ended. */
type Call = { id: number; index: number; option: Option; startedAt: number; sentBytes: number; hedge: boolean };

/** Time kept for the last resort, in its predicted times and beside the margin once more: what nobody foresaw is why it is needed. */
const LAST_RESORT_TIMES = 2;

export class AttemptMachine {
  readonly #request: AttemptRequest;
  readonly #planId: string;
  #plan: Plan;
  readonly #plannedAt: number;
  readonly #answerBy: number;
  readonly #record: AttemptRecord;
  /** One at the edge, or one at a node, or two at two nodes. */
  readonly #running = new Map<number, Call>();
  #calls = 0;
  /** Nodes that failed while one beside them still ran. */
  readonly #failedCalls: Call[] = [];
  #state: "new" | "running" | "grace" | "finished" = "new";
  #fellBack = false;
  /** Index of the option to go to when the wake comes while nodes are still silent; −1 when the wake is the deadline's. */
  #lastResort = -1;
  /** Options that were refused, lost or given up: their machines are not asked again. */
  readonly #refused: Option[] = [];
  /** `now`: the plan has just arrived. */
  constructor(request: AttemptRequest, plan: Plan, now: number) {
    this.#request = request;
    this.#plan = plan;
    this.#planId = plan.planId;
    this.#plannedAt = now;
    this.#answerBy = request.receivedAt + request.deadlineMs - plan.marginMs;
    this.#record = new AttemptRecord(request);
    this.#record.timing.push({ name: "decide", durMs: now - request.receivedAt });
  }

  get finished(): boolean {
    return this.#state === "finished";
  }

  /** Call once, first. */
  begin(now: number): AttemptAction[] {
    this.#state = "running";
    const wake: AttemptAction = { do: "wake", afterMs: Math.max(0, this.#answerBy - now) };
    return [wake, ...this.#run(this.#plan.first, this.#input(), now)];
  }

  /** The edge has returned. */
  edgeEnded(call: number, result: RunResult, now: number): AttemptAction[] {
    const ended = this.#take(call);
    if (!ended) return [];
    const { aheadMs, profileMs } = result;
    const end = result.ended === "late" || result.ended === "refused" ? result.ended : "done";
    this.#record.legs.push({ ...legOf(ended), tookMs: now - ended.startedAt, aheadMs, profileMs, end });
    const last = result.exits.at(-1);
    this.#record.timing.push({
      name: "edge",
      durMs: now - ended.startedAt,
      ...(last ? { desc: `exit ${last.exit + 1}` } : {}),
    });
    if (last) this.#record.hold({ exit: last, tier: "edge", node: null, predictedMs: this.#predictedAt(last.exit) });
    switch (result.ended) {
      case "stop":
        this.#record.reason = `the edge's answer satisfies the plan at confidence ${(this.#record.held?.confidence ?? 0).toFixed(3)}`;
        return this.#finish();
      case "escalate":
        return this.#escalate(result, now);
      case "refused":
        this.#record.failed(ended.option.rung, "the edge's queue could not make the deadline");
        return this.#fallBack([ended], now);
      case "late":
        this.#record.failed(
          this.#goalAfterHeld(ended.option),
          result.failure ? "a stage failed at the edge" : "time ran out between the edge's stages",
        );
        return this.#finish();
      case "cancelled":
        this.#record.failed(this.#goalAfterHeld(ended.option), "the deadline's margin was reached at the edge");
        return this.#finish();
    }
  }

  /** The edge could not be called, or threw. */
  edgeFailed(call: number, error: DystriError, now: number): AttemptAction[] {
    const ended = this.#take(call);
    if (!ended) return [];
    this.#record.legs.push(legOf(ended));
    this.#record.timing.push({ name: "edge", durMs: now - ended.startedAt });
    this.#record.failure = error;
    this.#record.failed(ended.option.rung, "the edge failed");
    return this.#fallBack([ended], now);
  }

  /** A node's gateway has replied. */
  nodeEnded(call: number, reply: NodeReply, now: number): AttemptAction[] {
    const ended = this.#take(call);
    if (!ended) return [];
    const node = nodeOf(ended);
    this.#record.nodes.push(reply.view);
    this.#record.timing.push({ name: "node", durMs: now - ended.startedAt, desc: node });
    switch (reply.kind) {
      case "answer": {
        const { exit, queueMs, computeMs, batch } = reply;
        const leg: Leg = { ...legOf(ended), tookMs: now - ended.startedAt, queueMs, computeMs, batch, end: "done" };
        this.#record.legs.push(leg);
        const predictedMs = ended.startedAt - this.#request.receivedAt + ended.option.predictedMs;
        this.#record.hold({ exit, tier: "node", node, predictedMs, queueMs, computeMs });
        this.#record.reason = `${node} answered with the planned rung`;
        if (exit.exit < ended.option.rung) this.#record.failed(ended.option.rung, `${node} stepped down to be on time`);
        return this.#finish();
      }
      case "refused": {
        // A node that cannot be reached is as good as lost to the controller; other refusals say only that it is busy.
        const gone = reply.code === "not_connected" || reply.code === "silent";
        this.#record.legs.push({ ...legOf(ended), end: gone ? "lost" : "refused" });
        return this.#nodeFailed(ended, `${node} refused: ${reply.detail}`, now);
      }
      case "lost":
        this.#record.legs.push({ ...legOf(ended), end: reply.reason === "expired" ? "late" : "lost" });
        return this.#nodeFailed(ended, `${node} was lost (${reply.reason})`, now);
    }
  }

  /** A node's gateway could not be called, or threw. */
  nodeLost(call: number, now: number): AttemptAction[] {
    const ended = this.#take(call);
    if (!ended) return [];
    this.#record.legs.push(legOf(ended));
    this.#record.timing.push({ name: "node", durMs: now - ended.startedAt, desc: nodeOf(ended) });
    return this.#nodeFailed(ended, `${nodeOf(ended)}'s gateway was lost`, now);
  }

  /**
   * The time of the last `wake` has passed, whatever the clock says of it. A node's answer is no longer waited for; the
   * edge is told to stop, and what it has finished is taken if it comes within half the margin.
   */
  timeUp(now: number): AttemptAction[] {
    const [first] = this.#running.values();
    if (!first || this.finished) return [];
    if (this.#lastResort >= 0 && first.option.at.tier === "node" && !this.#record.held) return this.#giveUpNodes(now);
    if (first.option.at.tier !== "node" && this.#state === "running") {
      this.#state = "grace";
      return [
        { do: "cancel", call: first.id },
        { do: "wake", afterMs: this.#plan.marginMs / 2 },
      ];
    }
    const cancels: AttemptAction[] = [];
    for (const call of this.#running.values()) {
      this.#take(call.id);
      const tookMs = now - call.startedAt;
      if (call.option.at.tier === "node") {
        cancels.push({ do: "cancel", call: call.id });
        this.#record.legs.push({ ...legOf(call), end: "late" });
        this.#record.timing.push({ name: "node", durMs: tookMs, desc: nodeOf(call) });
        this.#record.failed(call.option.rung, `${nodeOf(call)} did not answer in time`);
      } else {
        this.#record.legs.push({
          ...legOf(call),
          tookMs,
          profileMs: call.option.workMs,
          censored: true,
          end: "late",
        });
        this.#record.timing.push({ name: "edge", durMs: tookMs });
        this.#record.failed(call.option.rung, "the edge did not answer in time");
      }
    }
    return [...cancels, ...this.#finish()];
  }

  /** The client has gone: nothing is wanted any more. */
  cancelled(): AttemptAction[] {
    if (this.finished) return [];
    this.#record.cancelled();
    return this.#finish();
  }

  /** The reply. Throws DystriError when there is none: no exit has finished, or the client has gone. */
  answer(now: number): AttemptAnswer {
    return this.#record.answer(now);
  }

  /** What the controller is told, after `answer`. `edge`: what the driver last saw of the edge. */
  report(edge: EdgeView | undefined): Report {
    return this.#record.report(this.#planId, edge);
  }

  /** Goes on with an option, and with the one hedging it; finishes where the plan has none or the time is over. */
  #run(index: number, start: Start, now: number): AttemptAction[] {
    const option = this.#plan.options[index];
    if (!option) return this.#finish();
    if (this.#state === "grace" || this.#leftMs(now) <= 0) {
      this.#record.failed(option.rung, "the deadline's margin was reached");
      return this.#finish();
    }
    const last = option.at.tier === "node" ? this.#keepLastResort(option, now) : [];
    const first = this.#call(index, option, start, now, false);
    const beside = this.#plan.hedge?.[index] ?? -1;
    const hedge = this.#plan.options[beside];
    const sound =
      hedge?.at.tier === "node" &&
      option.at.tier === "node" &&
      !sameMachine(hedge, option) &&
      hedge.from === option.from &&
      hedge.predictedMs <= this.#leftMs(now) &&
      !onMachineOf(hedge, this.#refused);
    return [...last, first, ...(sound ? [this.#call(beside, hedge, start, now, true)] : [])];
  }

  /** A node that freezes says nothing: while nothing is held, time is kept for the edge's least answer where there is enough. */
  #keepLastResort(option: Option, now: number): AttemptAction[] {
    const { options } = this.#plan;
    const index = options.findIndex(({ at, from }) => at.tier !== "node" && from === "input");
    const least = options[index];
    if (!least || this.#deepestHeld() >= 0 || onMachineOf(least, this.#refused)) return [];
    const afterMs = this.#leftMs(now) - this.#plan.marginMs - LAST_RESORT_TIMES * least.predictedMs;
    if (afterMs <= LAST_RESORT_TIMES * option.predictedMs) return [];
    this.#lastResort = index;
    return [{ do: "wake", afterMs }];
  }

  /** The nodes have not answered and the time of the last resort has come. */
  #giveUpNodes(now: number): AttemptAction[] {
    const index = this.#lastResort;
    this.#lastResort = -1;
    this.#fellBack = true;
    const actions: AttemptAction[] = [{ do: "wake", afterMs: Math.max(0, this.#leftMs(now)) }];
    const silent = [...this.#running.values()];
    for (const call of silent) {
      this.#take(call.id);
      actions.push({ do: "cancel", call: call.id });
      this.#record.legs.push({ ...legOf(call), end: "late" });
      this.#record.timing.push({ name: "node", durMs: now - call.startedAt, desc: nodeOf(call) });
      this.#record.failed(call.option.rung, `${nodeOf(call)} did not answer in time`);
    }
    for (const call of [...this.#failedCalls.splice(0), ...silent]) {
      this.#refused.push(call.option);
      this.#plan = withoutMachineOf(this.#plan, call.index, index);
    }
    return [...actions, ...this.#run(index, this.#input(), now)];
  }

  #call(index: number, option: Option, start: Start, now: number, hedge: boolean): AttemptAction {
    const id = this.#calls++;
    const remainingMs = this.#leftMs(now);
    const sentBytes = (start.from === "input" ? start.input : start.cut).bytes.byteLength;
    const { at } = option;
    this.#running.set(id, { id, index, option, startedAt: now, sentBytes: at.tier === "node" ? sentBytes : 0, hedge });
    if (at.tier === "node") {
      // What is not deeper than the exit held is not worth a node's time.
      const minRung = Math.min(option.rung, Math.max(option.minRung, this.#deepestHeld() + 1));
      return { do: "node", call: id, node: at.node, option: { ...option, minRung }, start, remainingMs };
    }
    const evidence = this.#record.held ? [this.#record.held] : [];
    return { do: "edge", call: id, plan: this.#plan, option: index, start, evidence, remainingMs };
  }

  #escalate(result: RunResult, now: number): AttemptAction[] {
    const goal = this.#plan.options[result.option ?? -1];
    if (!goal || result.option === undefined) return this.#finish();
    const start: Start = result.cut && goal.from !== "input" ? { from: goal.from, cut: result.cut } : this.#input();
    return this.#run(result.option, start, now);
  }

  /** A node that hedges another fails alone: only when neither is left is there a fallback. */
  #nodeFailed(ended: Call, reason: string, now: number): AttemptAction[] {
    this.#record.failed(ended.option.rung, reason);
    this.#failedCalls.push(ended);
    return this.#running.size > 0 ? [] : this.#fallBack(this.#failedCalls.splice(0), now);
  }

  /** Where to go after a refusal or loss: only to something still in time and deeper than what is held, and not there again. */
  #fallBack(failed: readonly Call[], now: number): AttemptAction[] {
    const held = this.#deepestHeld();
    if (this.#fellBack && held >= 0) return this.#finish();
    this.#fellBack = true;
    const leftMs = this.#leftMs(now);
    this.#refused.push(...failed.map(({ option }) => option));
    const indices = failed.map(({ index }) => index);
    const index = fallbackOf(this.#plan, indices, this.#refused, held, leftMs);
    for (const call of failed) this.#plan = withoutMachineOf(this.#plan, call.index, index);
    const deadline: AttemptAction = { do: "wake", afterMs: Math.max(0, leftMs) };
    const wakes = this.#lastResort < 0 ? [] : [deadline];
    this.#lastResort = -1;
    return [...wakes, ...this.#run(index, this.#input(), now)];
  }

  /** Whatever still runs is not wanted any more. */
  #finish(): AttemptAction[] {
    const cancels = [...this.#running.values()].map((call): AttemptAction => {
      this.#take(call.id);
      this.#record.legs.push({ ...legOf(call), end: "cancelled" });
      return { do: "cancel", call: call.id };
    });
    this.#state = "finished";
    return [...cancels, { do: "finished" }];
  }

  #take(id: number): Call | undefined {
    const call = this.#running.get(id);
    this.#running.delete(id);
    return call;
  }

  /** The rung the plan would have gone on to from the exit held; the option's own when nothing is held. */
  #goalAfterHeld(option: Option): number {
    const { held } = this.#record;
    const step = held ? this.#plan.next[held.exit]?.[held.bin] : undefined;
    return typeof step === "number" ? (this.#plan.options[step]?.rung ?? option.rung) : option.rung;
  }

  /** What the plan predicted, from receipt, for an answer of the edge with this exit. */
  #predictedAt(exit: number): number {
    const planned = this.#plan.options.find((option) => option.at.tier === "edge" && option.rung === exit);
    return this.#plannedAt - this.#request.receivedAt + (planned?.predictedMs ?? 0);
  }

  #deepestHeld(): number {
    return Math.max(this.#record.held?.exit ?? -1, this.#request.heldElsewhere ?? -1);
  }

  #leftMs(now: number): number {
    return this.#answerBy - now;
  }

  #input(): Start {
    return { from: "input", input: this.#request.input };
  }
}

/** The leg of a call of which nothing came back. */
function legOf({ option, sentBytes, hedge }: Call): Leg {
  const { at, rung, workMs, predictedMs } = option;
  return {
    at,
    rung,
    workMs,
    predictedMs,
    tookMs: null,
    aheadMs: 0,
    sentBytes,
    end: "lost",
    ...(hedge ? { hedge } : {}),
  };
}

function nodeOf({ option }: Call): string {
  return option.at.tier === "node" ? option.at.node : "";
}
