/**
 * What a front believes of one platform's edge: the last view that came back, and its own calls that the view has not
 * seen. Instants are the owner's and passed in.
 */
import type { EdgeView } from "../protocol/plan.ts";

/** The call has come back, with the edge's view if it brought one. To be called once. */
export type EdgeReturn = (view: EdgeView | undefined, now: number) => void;

export class EdgeBelief {
  #view: EdgeView = { price: 0, aheadMs: 0, ageMs: 0 };
  #at = 0;
  /** Views heard so far. */
  #heard = 0;
  /** Profile milliseconds of calls made since the last view and still open. */
  #sinceMs = 0;

  /** The view to plan with; undefined before anything is known. */
  view(now: number): EdgeView | undefined {
    if (this.#heard === 0 && this.#sinceMs === 0) return undefined;
    const { price, aheadMs, ageMs } = this.#view;
    return {
      price,
      aheadMs: aheadMs + this.#sinceMs,
      ageMs: ageMs + (this.#heard > 0 ? Math.max(0, now - this.#at) : 0),
    };
  }

  /** A call of `workMs` is about to be made. A view that comes while it is open has its work in the queue already. */
  sent(workMs: number): EdgeReturn {
    const heard = this.#heard;
    this.#sinceMs += workMs;
    return (view, now) => {
      if (heard === this.#heard) this.#sinceMs = Math.max(0, this.#sinceMs - workMs);
      if (!view) return;
      [this.#view, this.#at, this.#sinceMs] = [view, now, 0];
      this.#heard++;
    };
  }
}
