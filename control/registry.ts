/**
 * What the coordinator knows: nodes and their capacity, open enrolments, users' books (control/shares). Pure: events in,
 * plain data out, instants passed in. `epoch` counts changes of anything a view carries but the loads, so that
 * `unchanged` can be said.
 */
import type { ControllerExchange, ExchangeReply, FleetView, GatewayReport, NodeEntry } from "../protocol/fleet.ts";
import type { NodeView } from "../protocol/plan.ts";
import { COORDINATOR_NAME, type Enrolment, type Redemption, type UserSettings } from "../protocol/services.ts";
import { Shares, type UserBook } from "./shares.ts";

/** Most nodes a view carries: bounds what travels to every controller. */
export const MAX_VIEW_NODES = 64;
/** A gateway renews its node's registration every 30 s while it is connected; after three of these have failed to come, it is offline. */
export const LEASE_MS = 90_000;
/** An offline node is forgotten after a day without a word. */
export const FORGET_MS = 24 * 3600 * 1000;
/** That a node was heard is written this often: often enough for FORGET_MS, seldom enough to cost nothing. */
const HEARD_EVERY_MS = 30_000;
/** Books are stored at most this often: what is lost with the object's memory is that much of slow averages. */
export const STORE_BOOKS_EVERY_MS = 5000;
const SWEEP_EVERY_MS = 1000;

export type NodeRow = { entry: NodeEntry; heardAt: number };
export type EnrolmentRow = { digest: string; node: string; tags: string[]; expiresAt: number; usedAt: number | null };

/** What an event changed and must be written; null: nothing but loads, which are not stored. */
export type RegistryChange =
  { kind: "node"; row: NodeRow; epoch: number } | { kind: "removed"; node: string; epoch: number } | null;

/** Beyond nodes and enrolments. `name`: the coordinator's own; `wokeAt`: when it came back to life. */
export type RegistryMemory = {
  name?: string;
  wokeAt?: number;
  books?: readonly UserBook[];
  settingsOf?: (user: string) => UserSettings;
};

/** `changed` counts reports, so that a reply can leave out loads its reader has; `storedAt` is the `heardAt` last written. */
type Known = NodeRow & { changed: number; storedAt: number };
/** What a user was told last, and what the time before, by count of reports. */
type Told = { last: number; before: number };

export class Registry {
  readonly shares: Shares;
  readonly #name: string;
  readonly #wokeAt: number;
  readonly #nodes = new Map<string, Known>();
  readonly #enrolments = new Map<string, EnrolmentRow>();
  readonly #told = new Map<string, Told>();
  #epoch: number;
  #reports = 0;
  #capacity = 0;
  #sweptAt = Number.NEGATIVE_INFINITY;
  #storedAt = Number.NEGATIVE_INFINITY;

  constructor(
    epoch: number,
    nodes: readonly NodeRow[],
    enrolments: readonly EnrolmentRow[],
    { name = COORDINATOR_NAME, wokeAt = 0, books = [], settingsOf }: RegistryMemory = {},
  ) {
    this.shares = new Shares(books, settingsOf);
    this.#name = name;
    this.#wokeAt = wokeAt;
    // One past the stored epoch: a view handed out just before a loss is never taken for the current one.
    this.#epoch = epoch + 1;
    for (const row of nodes) this.#nodes.set(row.entry.node, { ...row, changed: 0, storedAt: row.heardAt });
    for (const row of enrolments) this.#enrolments.set(row.digest, row);
    this.#count();
  }

  /** Pieces of work that all online nodes do at a time. */
  get capacity(): number {
    return this.#capacity;
  }

  /** A gateway's report. Reports of an older connection, or overtaken on the way, change nothing. */
  report(report: GatewayReport, now: number): RegistryChange {
    const known = this.#nodes.get(report.node);
    const last = known?.entry.load;
    const { epoch, seq } = report.load;
    if (last && (epoch < last.epoch || (epoch === last.epoch && seq < last.seq))) return null;
    const { node, gateway, state, registration, load } = report;
    const row: NodeRow = { entry: { node, gateway, state, registration, load }, heardAt: now };
    const same =
      known?.entry.state === state && known.entry.registration.bootId === registration.bootId && last?.epoch === epoch;
    const storedAt = known?.storedAt ?? Number.NEGATIVE_INFINITY;
    const write = !same || now - storedAt >= HEARD_EVERY_MS;
    this.#nodes.set(node, { ...row, changed: ++this.#reports, storedAt: write ? now : storedAt });
    if (!same) this.#changed();
    return write ? { kind: "node", row, epoch: this.#epoch } : null;
  }

  /** A controller's exchange: its standing; the view if it has another epoch, else the loads that are news to it. */
  exchange(exchange: ControllerExchange, now: number): ExchangeReply {
    const standing = this.shares.enter(exchange, this.#capacity, now);
    const told = this.#tell(exchange.user);
    if (exchange.knownEpoch !== this.#epoch) return { kind: "view", standing, view: this.#view(now) };
    // A reply may be lost: what it brought comes once more with the next. A controller that was itself lost says 0.
    const since = exchange.sinceMs > 0 ? told.before : 0;
    return { kind: "unchanged", standing, epoch: this.#epoch, loads: this.#loads(since, now) };
  }

  /** Registrations that have run out by this clock. Call it before an exchange or a listing; it looks about once a second. */
  sweep(now: number): NonNullable<RegistryChange>[] {
    if (now >= this.#sweptAt && now - this.#sweptAt < SWEEP_EVERY_MS) return [];
    this.#sweptAt = now;
    const changes: NonNullable<RegistryChange>[] = [];
    for (const known of this.#nodes.values()) {
      const { entry, heardAt } = known;
      if (entry.state === "offline") {
        if (now - heardAt > FORGET_MS) changes.push(this.remove(entry.node) as NonNullable<RegistryChange>);
      } else if (now - Math.max(heardAt, this.#wokeAt) > LEASE_MS) {
        // While the coordinator itself was gone nobody could renew: what it knew holds for one lease from its waking.
        const row: NodeRow = { entry: { ...entry, state: "offline" }, heardAt };
        this.#nodes.set(entry.node, { ...known, ...row });
        changes.push({ kind: "node", row, epoch: this.#changed() });
      }
    }
    return changes;
  }

  /** Users' books, when it is time to store them; null otherwise. */
  booksDue(now: number): UserBook[] | null {
    if (now >= this.#storedAt && now - this.#storedAt < STORE_BOOKS_EVERY_MS) return null;
    this.#storedAt = now;
    return this.shares.books();
  }

  nodes(now: number): NodeEntry[] {
    return [...this.#nodes.values()].map(({ entry, heardAt }) => ({ ...entry, load: aged(entry.load, heardAt, now) }));
  }

  remove(node: string): RegistryChange {
    if (!this.#nodes.delete(node)) return null;
    return { kind: "removed", node, epoch: this.#changed() };
  }

  mint(enrolment: Enrolment, now: number): EnrolmentRow {
    const row = {
      digest: enrolment.digest,
      node: enrolment.node,
      tags: enrolment.tags,
      expiresAt: now + enrolment.expiresInMs,
      usedAt: null,
    };
    this.#enrolments.set(row.digest, row);
    return row;
  }

  /** Takes a one-off token, once. The row must be written before the answer leaves. */
  redeem(digest: string, now: number): { reply: Redemption; row: EnrolmentRow | null } {
    const row = this.#enrolments.get(digest);
    if (!row) return { reply: { ok: false, reason: "unknown" }, row: null };
    if (row.usedAt !== null) return { reply: { ok: false, reason: "used" }, row: null };
    if (now >= row.expiresAt) return { reply: { ok: false, reason: "expired" }, row: null };
    const used = { ...row, usedAt: now };
    this.#enrolments.set(digest, used);
    return { reply: { ok: true, node: row.node, tags: row.tags }, row: used };
  }

  #view(now: number): FleetView {
    return {
      epoch: this.#epoch,
      parent: this.#name,
      nodes: this.#online().map(({ entry, heardAt }) => ({ ...entry, load: aged(entry.load, heardAt, now) })),
    };
  }

  /** Loads of the nodes in the view that have reported since. */
  #loads(since: number, now: number): NodeView[] {
    return this.#online()
      .filter(({ changed }) => changed > since || since === 0)
      .map(({ entry, heardAt }) => aged(entry.load, heardAt, now));
  }

  #online(): Known[] {
    const online: Known[] = [];
    for (const known of this.#nodes.values()) {
      if (known.entry.state === "online" && online.push(known) === MAX_VIEW_NODES) break;
    }
    return online;
  }

  /** Notes what this user is about to be told; says what it had been told before. As many users as have books. */
  #tell(user: string): Told {
    const told = this.#told.get(user) ?? { last: 0, before: 0 };
    this.#told.delete(user);
    this.#told.set(user, { last: this.#reports, before: told.last });
    if (this.#told.size > this.shares.size) this.#told.delete(this.#told.keys().next().value as string);
    return told;
  }

  #changed(): number {
    this.#count();
    return ++this.#epoch;
  }

  #count(): void {
    this.#capacity = 0;
    for (const { entry } of this.#nodes.values()) {
      if (entry.state === "online") this.#capacity += entry.registration.concurrency;
    }
  }
}

function aged(load: NodeView, heardAt: number, now: number): NodeView {
  return { ...load, ageMs: load.ageMs + Math.max(0, now - heardAt) };
}
