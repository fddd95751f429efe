/** Everything on the user's own device: the deepest rung predicted in time there. A thin client has no answer. */
import type { Offered } from "../simulator/workload.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import { deviceWorks, runOnDevice } from "./kit/device-run.ts";
import { FixedRungs } from "./kit/selectors.ts";
import { Serving, type Route, type Task } from "./kit/serving.ts";

class DeviceOnly extends Serving {
  constructor(world: World) {
    const core = { order: "edf", drop: "none", stepDown: false } as const;
    super(world, { core, network: "corrected" }, new FixedRungs(1));
  }

  override arrive(request: Offered): void {
    const task = this.task(request);
    const { device } = task.side;
    const { application } = request.user;
    const works = deviceWorks(application);
    if (!device || works.length === 0) return this.finishAtHome(task, "rejected");
    const leftMs = task.dueAt - this.world.events.now - device.aheadMs(task.dueAt);
    const upper = device.slowdown * device.tail;
    const work = works.findLast(({ referenceMs }) => upper * referenceMs <= leftMs) ?? works[0];
    if (!work || upper * work.referenceMs > leftMs) return this.finishAtHome(task, "rejected");
    this.releaseAtDeadline(task);
    runOnDevice(
      this.world,
      task,
      work.way,
      (more: Task) => !more.finished,
      () => this.finishAtHome(task, "dropped"),
    );
  }

  protected route(): Route {
    return null;
  }
}

export const deviceOnly: PolicyOf = (world) => new DeviceOnly(world);
