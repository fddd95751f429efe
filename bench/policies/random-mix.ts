/**
 * Rungs and tiers drawn at random, each as often as Dystri itself chose them for the application in the same cell: what
 * is left of Dystri's gain then is in how often it chooses what; the rest is in when.
 */
import type { Application } from "../../protocol/application.ts";
import type { Offered } from "../simulator/workload.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import { runOnDevice } from "./kit/device-run.ts";
import { leastWaiting } from "./kit/routing.ts";
import { FixedRungs } from "./kit/selectors.ts";
import { Serving, type Ask, type Route, type ServingOptions } from "./kit/serving.ts";
import { chain } from "../../control/ladder.ts";
import type { Tier } from "../../protocol/plan.ts";

/** How often each (tier, rung) answered, by application and by whether the user has a device. */
export type Mix = Map<Application, Map<boolean, { tier: Tier; rung: number; count: number }[]>>;

class RandomMix extends Serving {
  readonly #mix: Mix;

  constructor(world: World, options: ServingOptions, mix: Mix, limit: number) {
    super(world, options, new FixedRungs(limit));
    this.#mix = mix;
  }

  override arrive(request: Offered): void {
    const task = this.task(request);
    const { application } = request.user;
    const choices = this.#mix.get(application)?.get(task.side.device !== null) ?? [];
    let draw = this.random.below(choices.reduce((sum, { count }) => sum + count, 0));
    const chosen = choices.find(({ count }) => (draw -= count) < 0);
    if (!chosen) return this.finishAtHome(task, "rejected");
    const { tier, rung } = chosen;
    if (tier === "device" && task.side.device) {
      this.releaseAtDeadline(task);
      const way = chain(application, rung, "input") ?? [];
      runOnDevice(
        this.world,
        task,
        way,
        () => !task.finished,
        () => this.finishAtHome(task, "dropped"),
      );
      return;
    }
    const edge = this.edgeOf(request);
    const known = tier === "edge" ? edge : leastWaiting(this.nodes, undefined, (one) => this.waitMs(one));
    this.send(task, "input", known ? { known, rung } : { rung });
  }

  protected route({ known, rung }: Ask): Route {
    return known && rung !== undefined ? { known, rung } : null;
  }
}

export const randomMix =
  (mix: Mix, options: ServingOptions, limit: number): PolicyOf =>
  (world) =>
    new RandomMix(world, options, mix, limit);
