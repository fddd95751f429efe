/**
 * One request's way through its plan: what control/attempt.ts decides, carried out. Calls of the edge and of nodes run
 * side by side where the machine asks for two; what happens first is told first.
 */
import { AttemptMachine, type AttemptAction } from "../../control/attempt.ts";
import type { Claim } from "../../protocol/fleet.ts";
import type { Plan, Report } from "../../protocol/plan.ts";
import { callEdge } from "./edge-leg.ts";
import { edgeView } from "./edge-views.ts";
import { callNode } from "./node-leg.ts";
import type { Event, RemoteCall } from "./remote-call.ts";
import type { ServeContext, ServeRequest, Served } from "./served.ts";

export class Attempt {
  readonly #context: ServeContext;
  readonly #request: ServeRequest;
  readonly #claim: Claim;
  readonly #machine: AttemptMachine;
  readonly #calls = new Map<number, RemoteCall>();
  #timer: ReturnType<typeof setTimeout> | null = null;
  #timeUp = Promise.withResolvers<Event>();

  constructor(context: ServeContext, request: ServeRequest, plan: Plan) {
    this.#context = context;
    this.#request = request;
    const { controller, wishes } = request;
    this.#claim = { user: controller, weight: plan.weight, priority: wishes.priority ?? "normal" };
    this.#machine = new AttemptMachine(request, plan, context.clock.now());
  }

  /** Runs options until the plan stops, nothing is left to try, time is up, or the client has gone. Never rejects. */
  async follow(): Promise<void> {
    const { clock, signal } = this.#context;
    const machine = this.#machine;
    const gone = Promise.withResolvers<Event>();
    const abort = (): void => {
      console.log(JSON.stringify({ event: "client_left", component: "api" }));
      gone.resolve(() => machine.cancelled());
    };
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    try {
      this.#carryOut(machine.begin(clock.now()));
      while (!machine.finished) {
        const calls = [...this.#calls.values()].map(({ ended }) => ended);
        const happened = await clock.settled(Promise.race([gone.promise, ...calls, this.#timeUp.promise]));
        this.#carryOut(happened(machine, clock.now()));
      }
    } finally {
      signal.removeEventListener("abort", abort);
      this.#stopTimer();
      for (const call of this.#calls.values()) call.close(clock.now());
    }
  }

  /** The reply. Throws DystriError when no exit has finished or the client has gone. */
  answer(): Served {
    return this.#machine.answer(this.#context.clock.now());
  }

  /** What the controller is told. */
  report(): Report {
    return this.#machine.report(edgeView(this.#request.application.platform, this.#context.clock.now()));
  }

  #carryOut(actions: readonly AttemptAction[]): void {
    const { clock } = this.#context;
    for (const action of actions) {
      switch (action.do) {
        case "edge":
          this.#track(action.call, callEdge(this.#context, this.#request, this.#claim, action));
          break;
        case "node":
          this.#track(action.call, callNode(this.#context, this.#request, this.#claim, action));
          break;
        case "cancel":
          this.#calls.get(action.call)?.cancel();
          break;
        case "wake":
          this.#stopTimer();
          this.#timeUp = Promise.withResolvers<Event>();
          this.#timer = setTimeout(this.#timeUp.resolve, action.afterMs, (machine: AttemptMachine, now: number) =>
            machine.timeUp(now),
          );
          break;
        case "finished":
          for (const call of this.#calls.values()) call.close(clock.now());
          this.#calls.clear();
          break;
      }
    }
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** A call that has ended is told of once. */
  #track(id: number, call: RemoteCall): void {
    const ended = call.ended.then((event): Event => (machine, now) => {
      this.#calls.delete(id);
      const actions = event(machine, now);
      call.close(now);
      return actions;
    });
    this.#calls.set(id, { ...call, ended });
  }
}
