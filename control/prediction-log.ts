/** How well times were predicted: per tier and rung, of every leg that was measured. Bounded, O(1) per leg. */
import type { PredictionRow } from "../protocol/insight.ts";
import type { Leg } from "../protocol/plan.ts";

const MAX_ROWS = 256;

export class PredictionLog {
  readonly #rows = new Map<string, PredictionRow>();

  /** Records a leg; one without an honest measurement says nothing. */
  add(application: string, leg: Leg): void {
    if (leg.tookMs === null || leg.end !== "done") return;
    const { rung, at, predictedMs, tookMs } = leg;
    const key = `${application} ${at.tier} ${rung}`;
    let row = this.#rows.get(key);
    if (!row) {
      if (this.#rows.size >= MAX_ROWS) return;
      row = {
        application,
        tier: at.tier,
        rung,
        count: 0,
        sumPredictedMs: 0,
        sumActualMs: 0,
        sumErrorMs: 0,
        sumAbsErrorMs: 0,
        worstErrorMs: 0,
      };
      this.#rows.set(key, row);
    }
    const errorMs = tookMs - predictedMs;
    row.count++;
    row.sumPredictedMs += predictedMs;
    row.sumActualMs += tookMs;
    row.sumErrorMs += errorMs;
    row.sumAbsErrorMs += Math.abs(errorMs);
    if (Math.abs(errorMs) > Math.abs(row.worstErrorMs)) row.worstErrorMs = errorMs;
  }

  rows(): PredictionRow[] {
    return [...this.#rows.values()].map((row) => ({ ...row }));
  }
}
