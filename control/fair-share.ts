/**
 * Who keeps a place when a queue is full: max-min fairness at admission. Books of use per user, in predicted
 * milliseconds over weight, fading; a newcomer takes the place of waiting work only of users who have clearly used
 * more than the newcomer, so nobody below their share loses work to somebody above it. Work that runs is never taken
 * back: it is paid for.
 */
import type { Claim } from "../protocol/fleet.ts";

/** Use fades with this time constant: long against one request, short against a person's session. */
const FADE_MS = 1000;
/** "Clearly above": among users at equal load the books differ by about a third by chance, and eviction then helps nobody. */
const CLEARLY = 1.5;
/** Most work evicted for one newcomer: bounds what one arrival can cost, in time and in others' answers. */
const MOST_EVICTED = 8;
/** Users whose use is below this are as good as new, and need no entry. */
const NEGLIGIBLE_MS = 0.01;
const ORDER = { low: 0, normal: 1, high: 2 } as const satisfies Record<Claim["priority"], number>;

/** A piece of work that waits. */
export type WaitingWork = { id: string; claim: Claim; workMs: number };

export class FairShare {
  readonly #limit: number;
  readonly #books = new Map<string, { useMs: number; at: number }>();

  /** `limit`: users remembered. Those who used least are forgotten first, which only makes them newcomers again. */
  constructor(limit = 1024) {
    this.#limit = limit;
  }

  /** Users remembered. */
  get size(): number {
    return this.#books.size;
  }

  /** Milliseconds of machine time over weight, faded. A user who has a steady share f of one machine stands at about 1000·f. */
  use(user: string, now: number): number {
    const book = this.#books.get(user);
    return book ? book.useMs * Math.exp(-Math.max(0, now - book.at) / FADE_MS) : 0;
  }

  /** Work of this claim was taken on. */
  charge({ user, weight }: Claim, workMs: number, now: number): void {
    this.#set(user, this.use(user, now) + workMs / weight, now);
  }

  /** Work charged at `chargedAt` will not be done after all: what is left of its charge goes back. */
  refund({ user, weight }: Claim, workMs: number, chargedAt: number, now: number): void {
    const left = (workMs / weight) * Math.exp(-Math.max(0, now - chargedAt) / FADE_MS);
    this.#set(user, Math.max(0, this.use(user, now) - left), now);
  }

  /**
   * Ids of waiting work to evict so that `workMs` of the newcomer fits, or none. `fits(without)` is the queue's own
   * test with that work gone. Low priority goes first, `high` last; then the work of who used most, the largest
   * first. With what is evicted taken off, its user still stands at or above where the newcomer will: two users
   * cannot evict each other in turn.
   */
  evictable(
    newcomer: Claim,
    workMs: number,
    waiting: readonly WaitingWork[],
    now: number,
    fits: (without: ReadonlySet<string>) => boolean,
  ): string[] {
    const own = this.use(newcomer.user, now) + workMs / newcomer.weight;
    const uses = new Map<string, number>();
    const useOf = (user: string): number => uses.get(user) ?? this.use(user, now);
    const candidates = waiting
      .filter(({ claim }) => claim.user !== newcomer.user && this.use(claim.user, now) > CLEARLY * own)
      .map((work) => ({ work, use: this.use(work.claim.user, now) }))
      .sort(
        (a, b) =>
          ORDER[a.work.claim.priority] - ORDER[b.work.claim.priority] ||
          b.use - a.use ||
          b.work.workMs - a.work.workMs ||
          (a.work.id < b.work.id ? -1 : 1),
      );
    const evicted = new Set<string>();
    for (const { work } of candidates) {
      if (evicted.size === MOST_EVICTED) return [];
      const after = useOf(work.claim.user) - work.workMs / work.claim.weight;
      if (after < own) continue;
      uses.set(work.claim.user, after);
      evicted.add(work.id);
      if (fits(evicted)) return this.#needed(evicted, fits);
    }
    return [];
  }

  /** Without the work whose going turned out not to help; the most protected is spared first. */
  #needed(evicted: Set<string>, fits: (without: ReadonlySet<string>) => boolean): string[] {
    const order = [...evicted];
    for (const id of [...order].reverse()) {
      evicted.delete(id);
      if (!fits(evicted)) evicted.add(id);
    }
    return order.filter((id) => evicted.has(id));
  }

  #set(user: string, useMs: number, now: number): void {
    this.#books.set(user, { useMs, at: now });
    if (this.#books.size > this.#limit) this.#forget(now);
  }

  /** Drops who has faded away, then the lesser half, so that the cost is spread over as many arrivals. */
  #forget(now: number): void {
    const standing = [...this.#books.keys()].map((user) => ({ user, use: this.use(user, now) }));
    const kept = standing.filter(({ use }) => use >= NEGLIGIBLE_MS).sort((a, b) => b.use - a.use);
    const room = kept.length > this.#limit ? Math.max(1, this.#limit >> 1) : this.#limit;
    const keep = new Set(kept.slice(0, room).map(({ user }) => user));
    for (const { user } of standing) if (!keep.has(user)) this.#books.delete(user);
  }
}
