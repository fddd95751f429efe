/**
 * Dystri at the user's end: the real device planner on a simulated device and link. A request is planned when it comes;
 * what it begins at home waits for the device's thread, is looked at again when its turn comes and after each exit, and
 * the service is asked where the plan says so. The deepest exit held is the answer when the deadline is near.
 */
import {
  DeviceController,
  nextOnDevice,
  restOf,
  safetyStages,
  securesAfterMs,
  serviceMs,
  worthSending,
  type DeviceStep,
} from "../../control/device.ts";
import { chainReferenceMs } from "../../control/ladder.ts";
import type { ExitResult, Plan, Wishes } from "../../protocol/plan.ts";
import type { Lens } from "./lens.ts";
import type { Front, Served } from "./client.ts";
import type { DeviceSite } from "./device-site.ts";
import type { Timer } from "./event-queue.ts";
import { ON_DEVICE } from "./records.ts";
import type { UserSide } from "./user-side.ts";
import type { Offered, User } from "./workload.ts";
import type { World } from "./world.ts";

const WISHES: Wishes = { deadlinePolicy: "best_effort" };
/** Before the deadline the device shows what it holds. */
const LAST_MS = 0.5;

/** Of a request that the link could not carry in time. */
const UNSENT: Served = {
  outcome: { status: "rejected", rung: -1, node: -1, degraded: false, predictedMs: 0 },
  satisfied: false,
  seen: [],
};

/** One request at home. */
type Task = {
  request: Offered;
  side: UserSide;
  dueAt: number;
  exits: ExitResult[];
  plan: Plan | null;
  /** The thread is held, or waited for. */
  onThread: boolean;
  release: Timer | null;
  /** How the request ends when the device has no exit in time: the service was not asked, or has none. */
  alone: Served | null;
  /** An exit at home is being computed, or was. */
  secured: boolean;
  finished: boolean;
  predictedMs: number;
};

export class DeviceClient {
  readonly #world: World;
  readonly #front: Front;
  readonly #lens: Lens;
  readonly #controllers = new Map<User, DeviceController>();

  constructor(world: World, front: Front, lens: Lens) {
    this.#world = world;
    this.#front = front;
    this.#lens = lens;
  }

  arrive(request: Offered): void {
    const { user } = request;
    const task: Task = {
      request,
      side: this.#world.side(user),
      dueAt: request.atMs + user.deadlineMs - LAST_MS,
      exits: [],
      plan: null,
      onThread: false,
      release: null,
      alone: null,
      secured: false,
      finished: false,
      predictedMs: 0,
    };
    const { device } = task.side;
    if (!device || !this.#lens.options.device) return this.#ask(task);
    task.release = this.#world.events.at(task.dueAt, () => this.#giveHeld(task));
    this.#consider(task, device);
  }

  /** Plans from here on, and goes where the plan says; work at home waits for its turn. */
  #consider(task: Task, device: DeviceSite): void {
    const step = this.#plan(task, device, device.aheadMs(task.dueAt));
    if (step.kind !== "run") return this.#leave(task, step);
    const { application } = task.request.user;
    const workMs =
      device.slowdown * chainReferenceMs(application, restOf(application, step.target, task.exits), "edge");
    task.onThread = true;
    // On an idle device the turn comes at once: nothing has changed, and a second plan would be the same.
    let fresh = true;
    device.enqueue(task.dueAt, workMs, () => {
      if (task.finished) this.#follow(task, device, { kind: "stop" });
      else this.#follow(task, device, fresh ? step : this.#plan(task, device, 0));
    });
    fresh = false;
  }

  /** The thread is held. */
  #follow(task: Task, device: DeviceSite, step: DeviceStep): void {
    if (step.kind !== "run" || task.finished) {
      task.onThread = false;
      this.#leave(task, step);
      device.release();
      return;
    }
    const { request } = task;
    const { application } = request.user;
    const rest = restOf(application, step.target, task.exits);
    device.compute(request, step.rung, device.slowdown * chainReferenceMs(application, rest, "edge"), () => {
      task.exits.push(this.#world.inputsOf(application).exit(request.input, step.rung));
      this.#follow(task, device, this.#next(task, device));
    });
  }

  #plan(task: Task, device: DeviceSite, aheadMs: number): DeviceStep {
    const { request, side, exits, dueAt } = task;
    const now = this.#world.events.now;
    const reply = this.#controller(request.user).plan(
      {
        application: this.#lens.application(request.user.application),
        planId: `d${request.id}`,
        remainingMs: dueAt - now,
        wishes: WISHES,
        evidence: exits,
        device: { slowdown: device.slowdown, tail: device.tail, aheadMs },
        link: this.#lens.link(side.estimate),
      },
      now,
    );
    task.plan = reply.ok ? this.#lens.plan(reply.plan) : null;
    const first = reply.ok ? reply.plan.options[reply.plan.first] : undefined;
    if (first) task.predictedMs = now - request.atMs + first.predictedMs;
    return this.#next(task, device);
  }

  #next({ plan, request, exits, dueAt }: Task, device: DeviceSite): DeviceStep {
    if (!plan) return { kind: exits.length > 0 ? "stop" : "late" };
    const leftMs = dueAt - this.#world.events.now;
    return nextOnDevice(request.user.application, plan, exits, leftMs / (device.slowdown * device.tail));
  }

  /** What does not run at home. */
  #leave(task: Task, step: DeviceStep): void {
    if (task.finished || step.kind === "run") return;
    if (step.kind === "stop") return this.#finish(task, null);
    if (step.kind === "ask" && task.plan) this.#controller(task.request.user).asked(task.plan, step.option);
    // Nothing fits by anybody's estimate: the service may still know better than what was last heard of it.
    this.#ask(task);
    if (task.finished || task.exits.length > 0) return;
    if (task.alone) this.#secure(task);
    else this.#secureInTime(task);
  }

  /** Where the service is slow, an exit at home at the last moment; a device with other work keeps to that. */
  #secureInTime(task: Task): void {
    const { request, side, dueAt } = task;
    const { device } = side;
    if (!device) return;
    const { events } = this.#world;
    const afterMs = securesAfterMs(request.user.application, dueAt - events.now, device);
    if (afterMs === null) return;
    events.after(afterMs, () => {
      if (!task.finished && device.aheadMs(dueAt) <= 0) this.#secure(task);
    });
  }

  /** An exit at home. */
  #secure(task: Task): void {
    const { request, side, dueAt } = task;
    const { device } = side;
    if (!device || task.secured) return;
    task.secured = true;
    const { application } = request.user;
    const fits = (aheadMs: number): number =>
      (dueAt - this.#world.events.now - aheadMs) / (device.slowdown * device.tail);
    const way = safetyStages(application, fits(device.aheadMs(dueAt)));
    const restMs = (at: number): number => device.slowdown * chainReferenceMs(application, way.slice(at), "edge");
    const stage = (at: number): void => {
      const rung = way[at];
      if (rung === undefined || task.finished || safetyStages(application, fits(0)).length === 0) {
        device.release();
        // Nobody else has a better answer.
        if (task.alone && task.exits.length > 0) this.#finish(task, null);
        return;
      }
      device.compute(request, rung, restMs(at), () => {
        task.exits.push(this.#world.inputsOf(application).exit(request.input, rung));
        stage(at + 1);
      });
    };
    if (way.length > 0) device.enqueue(dueAt, restMs(0), () => stage(0));
  }

  #ask(task: Task): void {
    const { request, side, exits } = task;
    const { bytes } = request.user.application.input;
    const leftMs = task.dueAt - this.#world.events.now;
    const link = this.#lens.link(side.estimate);
    const leastMs = this.#controller(request.user).leastMs(request.user.application);
    if (!worthSending(leftMs, link, bytes, side.link?.pending ?? 0, leastMs)) {
      this.#controller(request.user).answered(task.plan?.planId ?? "");
      if (task.release) task.alone = UNSENT;
      else this.#finish(task, UNSENT);
      return;
    }
    const remainingMs = Math.floor(serviceMs(leftMs, link, bytes));
    side.ask(request, bytes, (reply) => {
      this.#front.serve(request, { remainingMs, evidence: exits }, (served) =>
        reply(() => {
          const controller = this.#controller(request.user);
          controller.answered(task.plan?.planId ?? "");
          const seenAt = this.#world.events.now;
          const { staleMs } = this.#lens.options;
          if (staleMs === 0) controller.absorb(served.seen, seenAt);
          else this.#world.events.after(staleMs, () => controller.absorb(served.seen, seenAt));
          const isRefused = served.outcome.rung < 0 && !served.satisfied;
          if (isRefused && task.release && !task.finished && task.exits.length === 0 && seenAt < task.dueAt) {
            task.alone = served;
            this.#secure(task);
          } else this.#finish(task, served);
        }),
      );
    });
  }

  /** The deadline is near: what is held is the answer, whatever is still on its way. */
  #giveHeld(task: Task): void {
    if (task.exits.length > 0) this.#finish(task, null);
    else if (task.alone) this.#finish(task, task.alone);
  }

  /** `served`: what the service replied, if that is what ended it. */
  #finish(task: Task, served: Served | null): void {
    if (task.finished) return;
    task.finished = true;
    this.#world.events.cancel(task.release);
    const { request, predictedMs } = task;
    const held = task.exits.at(-1);
    if (held && (!served || served.outcome.rung < held.exit)) {
      const degraded = served !== null && !served.satisfied;
      this.#world.finish(request, { status: "onTime", rung: held.exit, node: ON_DEVICE, degraded, predictedMs });
    } else if (served) {
      const { status, rung, node, degraded } = served.outcome;
      const isAnswer = status === "onTime" || status === "late";
      const own = this.#world.events.now - request.atMs;
      // The deadline is the client's: what was late for the front may still be in time, and the other way round.
      const predicted = predictedMs > 0 ? predictedMs : served.outcome.predictedMs;
      this.#world.finish(request, {
        status: isAnswer ? (own > request.user.deadlineMs ? "late" : "onTime") : status,
        rung,
        node,
        degraded,
        predictedMs: predicted,
      });
    }
  }

  #controller(user: User): DeviceController {
    let controller = this.#controllers.get(user);
    if (!controller) this.#controllers.set(user, (controller = new DeviceController()));
    return controller;
  }
}
