/** What baselines do on a user's device: a chain of stages on its one thread, an exit at each. */
import { chain, chainReferenceMs, rungAt } from "../../../control/ladder.ts";
import type { Application } from "../../../protocol/application.ts";
import type { World } from "../../simulator/world.ts";
import type { Task } from "./serving.ts";

type DeviceWork = { rung: number; way: number[]; referenceMs: number };

const WORKS = new WeakMap<Application, DeviceWork[]>();

/** The rungs that devices run, quickest first, each better than all quicker ones; with the stages of each. */
export function deviceWorks(application: Application): readonly DeviceWork[] {
  let works = WORKS.get(application);
  if (!works) WORKS.set(application, (works = worksOf(application)));
  return works;
}

function worksOf(application: Application): DeviceWork[] {
  const works = application.rungs
    .flatMap(({ quality }, rung) => {
      const way = chain(application, rung, "input") ?? [];
      const able = way.every((stage) => rungAt(application, stage).tiers.includes("device"));
      const referenceMs = chainReferenceMs(application, way, "edge");
      return able ? [{ rung, way, accuracy: quality.validation, referenceMs }] : [];
    })
    .sort((a, b) => a.referenceMs - b.referenceMs);
  let best = 0;
  return works.filter(({ accuracy }) => accuracy > best && ((best = accuracy), true));
}

/**
 * Runs the stages of `way` one after the other when the thread is free; each leaves an exit in the task. `goesOn` is asked
 * before each stage; `done` is called once, when no more is run.
 */
export function runOnDevice(
  world: World,
  task: Task,
  way: readonly number[],
  goesOn: (task: Task) => boolean,
  done: () => void,
): void {
  const { request, side } = task;
  const { device } = side;
  if (!device) {
    done();
    return;
  }
  const { application } = request.user;
  const restMs = (at: number): number => device.slowdown * chainReferenceMs(application, way.slice(at), "edge");
  const stage = (at: number): void => {
    const rung = way[at];
    if (rung === undefined || !goesOn(task)) {
      done();
      device.release();
      return;
    }
    device.compute(request, rung, restMs(at), () => {
      task.exits.push(world.inputsOf(application).exit(request.input, rung));
      stage(at + 1);
    });
  };
  device.enqueue(task.dueAt, restMs(0), () => stage(0));
}
