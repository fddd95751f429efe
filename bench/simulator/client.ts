/**
 * The front and its requests: asks the user's controller, drives the real attempt machine, answers, reports. One front
 * isolate serves everybody, as on one machine: it knows what it last heard of each platform's edge and what it has
 * outstanding there.
 */
import { AttemptMachine, type AttemptAction } from "../../control/attempt.ts";
import { EdgeBelief } from "../../control/edge-belief.ts";
import type { Application } from "../../protocol/application.ts";
import { DystriError, type ErrorCode } from "../../protocol/errors.ts";
import type { SeenService } from "../../control/device.ts";
import type { Claim } from "../../protocol/fleet.ts";
import type { EdgeView, ExitResult, Plan, PlanReply, PlanRequest, Report } from "../../protocol/plan.ts";
import type { Timer } from "./event-queue.ts";
import type { RunResult } from "../../protocol/inference.ts";
import type { NodeReply } from "../../protocol/fleet.ts";
import type { Outcome, Status } from "./records.ts";
import { inputOf } from "./tensors.ts";
import type { Offered } from "./workload.ts";
import { LEGS, type World } from "./world.ts";

/** What the front can reach. Each call takes its time by itself. */
export type Backend = {
  plan(request: Offered, question: PlanRequest, reply: (reply: PlanReply, seen: SeenService) => void): void;
  report(request: Offered, report: Report): void;
  /** Gives the way to cancel. */
  edge(
    request: Offered,
    action: Extract<AttemptAction, { do: "edge" }>,
    claim: Claim,
    reply: (result: RunResult) => void,
  ): () => void;
  node(
    request: Offered,
    action: Extract<AttemptAction, { do: "node" }>,
    claim: Claim,
    reply: (reply: NodeReply | "failed") => void,
  ): () => void;
};

const CLOCK = "front";

/** A request as it reaches the front: the time left for its answer there, and the exits finished on the user's device. */
export type Ask = { remainingMs: number; evidence: readonly ExitResult[] };

/** What the front replies. `satisfied`: the evidence that came with the request is enough. */
export type Served = { outcome: Omit<Outcome, "right" | "totalMs">; satisfied: boolean; seen: SeenService };

type Asked = Ask & { request: Offered; seen: SeenService; done: (served: Served) => void };

export class Front {
  readonly #world: World;
  readonly #backend: Backend;
  /** By platform. */
  readonly #edges = new Map<string, EdgeBelief>();

  constructor(world: World, backend: Backend) {
    this.#world = world;
    this.#backend = backend;
  }

  /** `done` is called once. */
  serve(request: Offered, ask: Ask, done: (served: Served) => void): void {
    const { user } = request;
    const receivedAt = this.#now();
    const view = this.#edge(user.application).view(receivedAt);
    const question: PlanRequest = {
      application: user.application.name,
      secretDigest: "",
      remainingMs: ask.remainingMs,
      ...(ask.evidence.length > 0 ? { evidence: [...ask.evidence] } : {}),
      wishes: { deadlinePolicy: "best_effort" },
      ...(view ? { edge: view } : {}),
    };
    this.#backend.plan(request, question, (reply, seen) => {
      if (!reply.ok) done({ outcome: { ...NOTHING, status: statusOf(reply.code) }, satisfied: false, seen });
      else if (reply.plan.first < 0 && ask.evidence.length > 0) done({ outcome: NOTHING, satisfied: true, seen });
      else this.#follow({ ...ask, request, seen, done }, reply.plan, receivedAt);
    });
  }

  #follow(asked: Asked, plan: Plan, receivedAt: number): void {
    const world = this.#world;
    const { request, evidence } = asked;
    const { user } = request;
    const { application } = user;
    const machine = new AttemptMachine(
      {
        application,
        input: inputOf(application),
        receivedAt,
        deadlineMs: asked.remainingMs,
        heldElsewhere: evidence.at(-1)?.exit ?? -1,
      },
      plan,
      this.#now(),
    );
    const claim: Claim = { user: user.name, weight: plan.weight, priority: "normal" };
    const cancels = new Map<number, () => void>();
    let timer: Timer | null = null;
    const carryOut = (actions: readonly AttemptAction[]): void => {
      for (const action of actions) {
        switch (action.do) {
          case "edge": {
            const option = action.plan.options[action.option];
            const back = this.#edge(application).sent(option?.workMs ?? 0);
            let open = true;
            const close = (edge: EdgeView | undefined): void => {
              if (open) back(edge, this.#now());
              open = false;
            };
            const job = { ...action, evidence: [...evidence, ...action.evidence] };
            const cancel = this.#backend.edge(request, job, claim, (result) => {
              close(result.edge);
              carryOut(machine.edgeEnded(action.call, result, this.#now()));
            });
            cancels.set(action.call, cancel);
            closes.push(() => {
              close(undefined);
              cancel();
            });
            break;
          }
          case "node": {
            cancels.set(
              action.call,
              this.#backend.node(request, action, claim, (reply) =>
                carryOut(
                  reply === "failed"
                    ? machine.nodeLost(action.call, this.#now())
                    : machine.nodeEnded(action.call, reply, this.#now()),
                ),
              ),
            );
            break;
          }
          case "cancel":
            cancels.get(action.call)?.();
            break;
          case "wake":
            world.events.cancel(timer);
            timer = world.events.after(action.afterMs, () => carryOut(machine.timeUp(this.#now())));
            break;
          case "finished":
            world.events.cancel(timer);
            for (const close of closes) close();
            this.#answer(asked, machine);
            break;
        }
      }
    };
    const closes: (() => void)[] = [];
    carryOut(machine.begin(this.#now()));
  }

  #answer({ request, seen, done }: Asked, machine: AttemptMachine): void {
    const { application } = request.user;
    let outcome: Omit<Outcome, "right" | "totalMs">;
    try {
      const { answer, node, degraded, predictedMs, deadlineMet } = machine.answer(this.#now());
      outcome = {
        status: deadlineMet ? "onTime" : "late",
        rung: answer.exit,
        node: node === null ? -1 : this.#world.nodes.findIndex(({ spec }) => spec.name === node),
        degraded,
        predictedMs,
      };
    } catch (error) {
      if (!(error instanceof DystriError)) throw error;
      outcome = { ...NOTHING, status: statusOf(error.code) };
    }
    done({ outcome, satisfied: false, seen });
    this.#backend.report(request, machine.report(this.#edge(application).view(this.#now())));
  }

  #edge({ platform }: Application): EdgeBelief {
    let belief = this.#edges.get(platform);
    if (!belief) this.#edges.set(platform, (belief = new EdgeBelief()));
    return belief;
  }

  #now(): number {
    return this.#world.clock(CLOCK);
  }
}

const NOTHING = { status: "onTime", rung: -1, node: -1, degraded: false, predictedMs: 0 } as const;

function statusOf(code: ErrorCode): Status {
  if (code === "deadline_exceeded") return "dropped";
  return code === "overloaded" || code === "deadline_unmeetable" || code === "quota_exceeded" ? "rejected" : "error";
}

/** Where a request's calls go: names of its draws of chance. */
export const { plan: PLAN_LEG, edge: EDGE_LEG, gateway: GATEWAY_LEG, report: REPORT_LEG } = LEGS;
