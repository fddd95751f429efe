/**
 * The policies that can run on the live service: all of them are Dystri's machinery with wishes that leave it no choice.
 * A static policy without a drop rule must not be shed by the service, so the service is told of a deadline that is
 * long; the client still judges by the true one.
 */
import type { FrontLoad } from "../../control/front-load.ts";
import { edgeBounds } from "../../control/price.ts";
import type { Application } from "../../protocol/application.ts";
import type { PlanRequest, Wishes } from "../../protocol/plan.ts";
import { Lens } from "../simulator/lens.ts";

export type LivePolicy = {
  name: string;
  wishes: Wishes;
  /** What the service is told at least, in place of the time that is left; 0: it is told the truth. */
  toldMs: number;
};

/** Long enough that nothing is shed for lack of time in queues that a run of seconds builds; also how long a run may take to empty. */
const PATIENT_MS = 2000;

const BEST_EFFORT = { deadlinePolicy: "best_effort" } as const;

export const STATIC_FAST: LivePolicy = {
  name: "static-fast",
  wishes: { ...BEST_EFFORT, tier: "edge", maxExit: 1 },
  toldMs: PATIENT_MS,
};
export const STATIC_BEST: LivePolicy = {
  name: "static-best",
  wishes: { ...BEST_EFFORT, tier: "node", minConfidence: 1 },
  toldMs: PATIENT_MS,
};
export const DYSTRI: LivePolicy = { name: "dystri", wishes: BEST_EFFORT, toldMs: 0 };

/** All that can be named. Without `+drop` a static policy's late answers are served to the end, as by systems that never shed. */
export const LIVE_POLICIES: readonly LivePolicy[] = [
  DYSTRI,
  STATIC_FAST,
  STATIC_BEST,
  { ...STATIC_BEST, name: "static-best+drop", toldMs: 0 },
  // Always deeper, while time allows.
  { name: "greedy", wishes: { ...BEST_EFFORT, minConfidence: 1 }, toldMs: 0 },
];

/** The wishes as the query of POST /v1/infer and /v1/plan; empty, or beginning with `&`. */
export function queryOf({ wishes }: LivePolicy): string {
  const { tier, maxExit, minConfidence, minAccuracy } = wishes;
  return Object.entries({ tier, max_exit: maxExit, min_confidence: minConfidence, min_accuracy: minAccuracy })
    .flatMap(([name, value]) => (value === undefined ? [] : [`&${name}=${value}`]))
    .join("");
}

/** The same wishes, for the simulated front, and the price of its thread, as functions/api/front.ts tells it. */
export class WishfulLens extends Lens {
  readonly #wishes: Wishes;
  readonly #load: FrontLoad;
  readonly #highestPrice: ReadonlyMap<string, number>;

  constructor(wishes: Wishes, load: FrontLoad, applications: readonly Application[]) {
    super();
    this.#wishes = wishes;
    this.#load = load;
    this.#highestPrice = new Map(applications.map((one) => [one.name, edgeBounds([one]).maxPrice]));
  }

  override question(question: PlanRequest, platform: string, now: number): PlanRequest {
    const threadPrice = this.#load.dearness(now) * (this.#highestPrice.get(question.application) ?? 0);
    return { ...super.question(question, platform, now), wishes: this.#wishes, threadPrice };
  }
}
