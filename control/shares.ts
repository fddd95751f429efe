/**
 * The coordinator's books of users: what each uses of the machines, what its share is, what it is owed. Shares act only
 * through prices (a user above theirs pays more), so what nobody else wants is anybody's. Pure: instants are passed in.
 *
 * Everything is a sum over what exchanges say of the time since the last one, in closed form for any interval: how often
 * a user exchanges, and in what order users do, changes little.
 */
import type { ControllerExchange, UserStanding } from "../protocol/fleet.ts";
import type { UserSettings } from "../protocol/services.ts";
import { TARGET_UTILISATION } from "./price.ts";

/** A user counts as active for this long after an exchange. */
export const ACTIVE_MS = 10_000;
/** Users remembered: bounds memory and what is stored. The longest idle are forgotten first and come back as new ones. */
export const MAX_USERS = 4096;
/** What a second leaves of an old figure of use: shares follow a change within about ten seconds. */
const KEPT_PER_SECOND = 0.9;
/** Of what a user asks for, the part to be answered on time. */
const OWED_SHARE = 0.95;
/** Answers a user may be owed at most: a debt must not grow beyond what a minute can make good. */
export const MAX_DEBT = 50;
/** Where the operator has set nothing. */
export const DEFAULT_SETTINGS: UserSettings = { weight: 1, quotaPerSecond: null };

/** One user's figures; plain JSON. `use`: of the fleet's capacity, 0–1; `edge`: edge milliseconds per millisecond. */
export type UserBook = { user: string; seenAt: number; use: number; edge: number; debt: number };

type Entry = UserBook & UserSettings;

export class Shares {
  readonly #settingsOf: (user: string) => UserSettings;
  readonly #limit: number;
  /** Both in the order of the last exchange, the longest ago first. */
  readonly #active = new Map<string, Entry>();
  readonly #idle = new Map<string, Entry>();
  /** Over active users. Kept up by differences, summed anew once a second so that rounding does not pile up. */
  #weights = 0;
  #edge = 0;
  #summedAt = Number.NEGATIVE_INFINITY;
  /** Of the last event; what is restored is taken for no later than the first one. */
  #now = Number.POSITIVE_INFINITY;

  /** `settingsOf` is asked once for each user that is new here. */
  constructor(
    books: readonly UserBook[] = [],
    settingsOf: (user: string) => UserSettings = () => DEFAULT_SETTINGS,
    limit = MAX_USERS,
  ) {
    this.#settingsOf = settingsOf;
    this.#limit = limit;
    // Who of them is still active is seen at the first exchange.
    const ordered = [...books].sort((a, b) => a.seenAt - b.seenAt).slice(-limit);
    for (const book of ordered) this.#active.set(book.user, { ...book, ...settingsOf(book.user) });
  }

  /** Users remembered. */
  get size(): number {
    return this.#active.size + this.#idle.size;
  }

  /** What the operator has set anew counts from here on. */
  configure(user: string, settings: UserSettings): void {
    const entry = this.#active.get(user) ?? this.#idle.get(user);
    if (!entry) return;
    if (this.#active.has(user)) this.#weights += settings.weight - entry.weight;
    Object.assign(entry, settings);
  }

  /** Enters what a controller says of the time since its last exchange. `capacity`: pieces of work all nodes do at a time. */
  enter(exchange: ControllerExchange, capacity: number, now: number): UserStanding {
    this.#pass(now);
    const { user } = exchange;
    const entry = this.#take(user) ?? { user, seenAt: now, use: 0, edge: 0, debt: 0, ...this.#settingsOf(user) };
    const spanMs = amount(exchange.sinceMs);
    // Time that no exchange tells of: the controller was lost, or its words were.
    const untoldMs = Math.max(0, now - entry.seenAt - spanMs);
    const used = capacity > 0 && spanMs > 0 ? amount(exchange.usedMs) / spanMs / capacity : 0;
    const edge = spanMs > 0 ? amount(exchange.edgeMs) / spanMs : 0;
    entry.use = smoothed(smoothed(entry.use, 0, untoldMs), used, spanMs);
    entry.edge = smoothed(smoothed(entry.edge, 0, untoldMs), edge, spanMs);
    entry.seenAt = now;
    this.#active.set(user, entry);
    this.#weights += entry.weight;
    this.#edge += entry.edge;
    this.#bound();
    const owed = OWED_SHARE * amount(exchange.offered);
    entry.debt = Math.min(MAX_DEBT, Math.max(0, entry.debt + owed - amount(exchange.onTime)));
    return this.#standing(entry);
  }

  /** A user's standing as of now; null for one that is not remembered. */
  standing(user: string, now: number): (UserStanding & { active: boolean }) | null {
    this.#pass(now);
    const active = this.#active.get(user);
    const entry = active ?? this.#idle.get(user);
    return entry ? { ...this.#standing(entry), active: active !== undefined } : null;
  }

  /** What must survive, the longest idle first. */
  books(): UserBook[] {
    return [...this.#idle.values(), ...this.#active.values()].map(({ user, seenAt, use, edge, debt }) => ({
      user,
      seenAt,
      use: short(use),
      edge: short(edge),
      debt: short(debt),
    }));
  }

  /** An idle user is weighed as if it came back now. */
  #standing(entry: Entry): UserStanding {
    const { weight, quotaPerSecond, debt } = entry;
    const active = this.#active.has(entry.user);
    const weights = Math.max(weight, this.#weights + (active ? 0 : weight));
    const edge = this.#edge + (active ? 0 : entry.edge);
    const share = (weight * TARGET_UTILISATION) / weights;
    const edgeUse = edge > 0 ? Math.min(1, entry.edge / edge) / (weight / weights) : 1;
    return { weight, share, nodeUse: entry.use / share, edgeUse, debt, quotaPerSecond };
  }

  /** Takes the user's entry out of the books and the sums; the caller puts it back. */
  #take(user: string): Entry | undefined {
    const entry = this.#active.get(user);
    if (!entry) {
      const idle = this.#idle.get(user);
      this.#idle.delete(user);
      return idle;
    }
    this.#active.delete(user);
    this.#weights -= entry.weight;
    this.#edge -= entry.edge;
    return entry;
  }

  /** Lets time come to `now`: who has been silent too long is no longer active. */
  #pass(now: number): void {
    // A clock that was set back must not keep anybody active until it has caught up.
    if (now < this.#now) for (const entry of this.#all()) entry.seenAt = Math.min(entry.seenAt, now);
    this.#now = now;
    for (const entry of this.#active.values()) {
      if (now - entry.seenAt <= ACTIVE_MS) break;
      this.#take(entry.user);
      this.#idle.set(entry.user, entry);
    }
    if (now - this.#summedAt < 1000 && now >= this.#summedAt) return;
    this.#summedAt = now;
    this.#weights = this.#edge = 0;
    for (const { weight, edge } of this.#active.values()) {
      this.#weights += weight;
      this.#edge += edge;
    }
  }

  #bound(): void {
    if (this.size <= this.#limit) return;
    const longest = this.#idle.keys().next().value;
    if (longest !== undefined) this.#idle.delete(longest);
    else this.#take(this.#active.keys().next().value as string);
  }

  *#all(): Iterable<Entry> {
    yield* this.#active.values();
    yield* this.#idle.values();
  }
}

/** A smoothed figure after `spanMs` in which it was `value` on average. */
function smoothed(old: number, value: number, spanMs: number): number {
  const kept = KEPT_PER_SECOND ** (spanMs / 1000);
  return old * kept + value * (1 - kept);
}

/** What cannot be counted counts as nothing. */
function amount(value: number): number {
  return value > 0 && Number.isFinite(value) ? value : 0;
}

/** Six digits are more than the figures mean. */
function short(value: number): number {
  return Number(value.toPrecision(6));
}
