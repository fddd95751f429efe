/**
 * Reports wait here for the next question to the same controller and travel with it: a call of its own for each costs the
 * front, the object and the platform as much as the question did. What no question takes along leaves within
 * REPORT_WITHIN_MS.
 *
 * A controller never decides on less than it would otherwise know: this isolate's question brings all that it reports.
 * Only plain data is kept, since no request may use what belongs to another.
 */
import type { Report } from "../../protocol/plan.ts";

export const REPORT_WITHIN_MS = 100;
/** Of one controller; with so many the last one sends them all. */
export const MAX_WAITING = 32;

type Waiting = { reports: { report: Report; at: number }[]; leaveBy: number };

export class ReportBox {
  readonly #waiting = new Map<string, Waiting>();

  /**
   * Puts a report in. Says when whoever put it in must send what is there: `now`, or `later`, after REPORT_WITHIN_MS; null
   * where somebody else will. A request that ends without doing so delays reports, and loses none.
   */
  add(controller: string, report: Report, now: number): "now" | "later" | null {
    const waiting = this.#waiting.get(controller);
    const reports = waiting?.reports ?? [];
    reports.push({ report, at: now });
    if (reports.length >= MAX_WAITING) return "now";
    if (waiting && now <= waiting.leaveBy) return null;
    this.#waiting.set(controller, { reports, leaveBy: now + REPORT_WITHIN_MS });
    return "later";
  }

  /** Takes out what waits for a controller, for a question that is about to go there. */
  take(controller: string, now: number): Report[] {
    return taken(this.#waiting.get(controller)?.reports.splice(0), now);
  }

  /** Takes out what waits for a controller, for whoever was told to send it. */
  leave(controller: string, now: number): Report[] {
    const waiting = this.#waiting.get(controller);
    this.#waiting.delete(controller);
    return taken(waiting?.reports, now);
  }
}

/** Oldest first, views as old as they are by now. */
function taken(reports: Waiting["reports"] = [], now: number): Report[] {
  return reports.map(({ report, at }) => aged(report, now - at));
}

function aged(report: Report, byMs: number): Report {
  const { edge, nodes } = report;
  return {
    ...report,
    ...(edge ? { edge: { ...edge, ageMs: edge.ageMs + byMs } } : {}),
    nodes: nodes.map((view) => ({ ...view, ageMs: view.ageMs + byMs })),
  };
}
