/**
 * How many jobs a node could at most run a stage for at once. A batch costs each of its jobs less than a run alone, so a
 * bound must grant the best batch there could be; but only jobs of the same application that can begin the stage at the
 * same instant can share one, and still be in time. All requests of the world count for that, on whatever way they come to
 * the stage. What is late already may be run with others as well, but only makes a batch longer.
 */

/** The instants at which one request can begin the stage, on any of its ways. */
type Span = { fromAt: number; toAt: number };

export class BatchSizes {
  /** Of one stage on one node: by request. */
  readonly #spans = new Map<string, Map<number, Span>>();
  readonly #sizes = new Map<string, Map<number, number>>();

  /** A way on which the request begins the stage between two instants; one that ends before it begins is none. */
  note(stage: string, request: number, fromAt: number, toAt: number): void {
    if (toAt < fromAt) return;
    const spans = this.#spans.get(stage) ?? new Map<number, Span>();
    this.#spans.set(stage, spans);
    const span = spans.get(request);
    if (span) {
      span.fromAt = Math.min(span.fromAt, fromAt);
      span.toAt = Math.max(span.toAt, toAt);
    } else spans.set(request, { fromAt, toAt });
  }

  /** The most requests, this one among them, that can begin the stage at one instant; 1 where nothing was noted of it. */
  most(stage: string, request: number): number {
    let sizes = this.#sizes.get(stage);
    if (!sizes) this.#sizes.set(stage, (sizes = mostTogether(this.#spans.get(stage) ?? new Map<number, Span>())));
    return sizes.get(request) ?? 1;
  }
}

/**
 * For each span, the largest number of spans that share an instant of it. That number is largest where some span begins:
 * at this one's own beginning, or at one inside it.
 */
function mostTogether(spans: ReadonlyMap<number, Span>): Map<number, number> {
  const byStart = [...spans].sort(([, a], [, b]) => a.fromAt - b.fromAt);
  const ends = byStart.map(([, { toAt }]) => toAt).sort((a, b) => a - b);
  // Spans open at the instant each one begins; of several that begin together, the last knows of all.
  let ended = 0;
  const open = byStart.map(([, { fromAt }], i) => {
    while ((ends[ended] as number) < fromAt) ended++;
    return i + 1 - ended;
  });
  const most = new Map<number, number>();
  byStart.forEach(([request, { toAt }], i) => {
    let found = 0;
    for (let at = i; at < byStart.length && (byStart[at] as [number, Span])[1].fromAt <= toAt; at++) {
      found = Math.max(found, open[at] as number);
    }
    most.set(request, found);
  });
  return most;
}
