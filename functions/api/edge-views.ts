/** What this isolate last heard of each platform's inference Worker, with its own outstanding calls added. */
import type { EdgeView } from "../../protocol/plan.ts";

type Seen = { view: EdgeView; at: number; outstandingMs: number };

const seen = new Map<string, Seen>();

/** The view to send along with a plan request; undefined before the first reply. */
export function edgeView(platform: string, now: number): EdgeView | undefined {
  const known = seen.get(platform);
  if (!known) return undefined;
  return {
    ...known.view,
    aheadMs: known.view.aheadMs + known.outstandingMs,
    ageMs: known.view.ageMs + Math.max(0, now - known.at),
  };
}

/** Counts a call that is about to be made; call the result when it has come back, with the new view if it brought one. */
export function outstanding(platform: string, workMs: number): (view: EdgeView | undefined, now: number) => void {
  const entry = seen.get(platform) ?? { view: { price: 0, aheadMs: 0, ageMs: 0 }, at: 0, outstandingMs: 0 };
  entry.outstandingMs += workMs;
  seen.set(platform, entry);
  return (view, now) => {
    entry.outstandingMs = Math.max(0, entry.outstandingMs - workMs);
    if (view) [entry.view, entry.at] = [view, now];
  };
}
