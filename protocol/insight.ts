/** What a user's controller can tell of itself, for people and for the prediction-error metric. */
import type { UserStanding } from "./fleet.ts";
import type { Tier } from "./plan.ts";

/** How well times were predicted: sums over `count` legs; an error is actual less predicted. */
export type PredictionRow = {
  application: string;
  tier: Tier;
  rung: number;
  count: number;
  sumPredictedMs: number;
  sumActualMs: number;
  sumErrorMs: number;
  sumAbsErrorMs: number;
  worstErrorMs: number;
};

export type Insight = {
  standing: UserStanding;
  edge: { platform: string; slowdown: number; overheadMs: number; spreadMs: number; tail: number }[];
  /** `price` as the node's gateway says it, `priceHere` as this user pays it. */
  nodes: { node: string; price: number; priceHere: number; aheadMs: number; ageMs: number; linkMs: number }[];
  predictions: PredictionRow[];
};
