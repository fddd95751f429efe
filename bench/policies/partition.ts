/**
 * Neurosurgeon (ASPLOS 2017) and Edgent (TWC 2020), EVALUATION §5.10, from their public re-implementations and without
 * those's defects: the minimum over splits is taken, and a split that sends nothing pays for no journey. Neurosurgeon
 * runs the whole network, split where the expected time is least; Edgent the deepest exit whose best split fits the time
 * left. Both know of a machine's load what the user's last reply told.
 */
import type { Offered } from "../simulator/workload.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import { runOnDevice } from "./kit/device-run.ts";
import { FixedRungs } from "./kit/selectors.ts";
import { Serving, type Ask, type Route, type ServingOptions, type Task } from "./kit/serving.ts";
import { splitsOf, type Split } from "./kit/split.ts";

export type PartitionParameters = {
  rule: "neurosurgeon" | "edgent";
  /** Edgent: exits count as in time by their expected or by their upper time. */
  times: "meanMs" | "upperMs";
  limit: number;
};

class Partition extends Serving {
  readonly #parameters: PartitionParameters;

  constructor(world: World, options: ServingOptions, parameters: PartitionParameters) {
    super(world, options, new FixedRungs(parameters.limit));
    this.#parameters = parameters;
  }

  override arrive(request: Offered): void {
    const task = this.task(request);
    const split = this.#split(task);
    if (!split) return this.finishAtHome(task, "rejected");
    const { way, from, known, rung } = split;
    if (way.length === 0) {
      this.send(task, from, known ? { known, rung } : {});
      return;
    }
    runOnDevice(
      this.world,
      task,
      way,
      () => true,
      () => {
        if (!known) return this.finishAtHome(task, "onTime");
        // The network as a whole has one answer: exits on the way give none.
        task.exits.length = 0;
        this.send(task, from, { known, rung });
      },
    );
  }

  protected override get tellsWaits(): boolean {
    return true;
  }

  protected route({ known, rung }: Ask): Route {
    return known && rung !== undefined ? { known, rung } : null;
  }

  #split(task: Task): Split | null {
    const { request } = task;
    const { rungs } = request.user.application;
    const { rule, times } = this.#parameters;
    const machines = this.machinesOf(request);
    const least = (rung: number): Split | null => {
      const splits = splitsOf(task, machines, rung, (known) => this.seenWaitMs(request, known));
      return splits.reduce<Split | null>((best, one) => (best && best[times] <= one[times] ? best : one), null);
    };
    const byAccuracy = rungs.map((_, rung) => rung).sort((a, b) => quality(b) - quality(a));
    function quality(rung: number): number {
      return rungs[rung]?.quality.validation ?? 0;
    }
    if (rule === "neurosurgeon") return least(byAccuracy[0] ?? 0);
    const leftMs = task.dueAt - this.world.events.now;
    for (const rung of byAccuracy) {
      const split = least(rung);
      if (split && split[times] <= leftMs) return split;
    }
    return least(0);
  }
}

export const partition =
  (parameters: PartitionParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new Partition(world, options, parameters);
