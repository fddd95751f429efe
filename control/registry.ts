/**
 * What the coordinator knows: nodes and their capacity, open enrolments, active users. Pure: events in, plain data out,
 * instants passed in. `epoch` counts changes of anything a view carries but the loads, so that `unchanged` can be said.
 */
import type { ControllerExchange, ExchangeReply, FleetView, GatewayReport, NodeEntry } from "../protocol/fleet.ts";
import { COORDINATOR_NAME, type Enrolment, type Redemption } from "../protocol/services.ts";

/** A user counts as active for this long after an exchange. */
export const ACTIVE_MS = 10_000;
/** Most nodes a view carries: bounds what travels to every controller. */
export const MAX_VIEW_NODES = 64;

export type NodeRow = { entry: NodeEntry; heardAt: number };
export type EnrolmentRow = { digest: string; node: string; tags: string[]; expiresAt: number; usedAt: number | null };

/** What an event changed and must be written; null: nothing but loads, which are not stored. */
export type RegistryChange =
  { kind: "node"; row: NodeRow; epoch: number } | { kind: "removed"; node: string; epoch: number } | null;

export class Registry {
  readonly #nodes = new Map<string, NodeRow>();
  readonly #enrolments = new Map<string, EnrolmentRow>();
  readonly #activeUsers = new Map<string, number>();
  #epoch: number;

  constructor(epoch: number, nodes: readonly NodeRow[], enrolments: readonly EnrolmentRow[]) {
    // One past the stored epoch: a view handed out just before a loss is never taken for the current one.
    this.#epoch = epoch + 1;
    for (const row of nodes) this.#nodes.set(row.entry.node, row);
    for (const row of enrolments) this.#enrolments.set(row.digest, row);
  }

  /** A gateway's report. Reports of an older connection, or overtaken on the way, change nothing. */
  report(report: GatewayReport, now: number): RegistryChange {
    const known = this.#nodes.get(report.node)?.entry;
    const { epoch, seq } = report.load;
    if (known && (epoch < known.load.epoch || (epoch === known.load.epoch && seq < known.load.seq))) return null;
    const { node, gateway, state, registration, load } = report;
    const row: NodeRow = { entry: { node, gateway, state, registration, load }, heardAt: now };
    this.#nodes.set(node, row);
    const same =
      known && known.state === state && known.registration.bootId === registration.bootId && known.load.epoch === epoch;
    if (same) return null;
    return { kind: "node", row, epoch: ++this.#epoch };
  }

  /** A controller's exchange: the view if it has another epoch, else only the loads. */
  exchange(exchange: ControllerExchange, now: number): ExchangeReply {
    this.#activeUsers.set(exchange.user, now);
    if (exchange.knownEpoch !== this.#epoch) return { kind: "view", view: this.#view(now) };
    const loads = this.#viewNodes(now).map((entry) => entry.load);
    return { kind: "unchanged", epoch: this.#epoch, loads };
  }

  nodes(now: number): NodeEntry[] {
    return [...this.#nodes.values()].map((row) => aged(row, now));
  }

  remove(node: string): RegistryChange {
    if (!this.#nodes.delete(node)) return null;
    return { kind: "removed", node, epoch: ++this.#epoch };
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
    for (const [user, seenAt] of this.#activeUsers) if (now - seenAt > ACTIVE_MS) this.#activeUsers.delete(user);
    return {
      epoch: this.#epoch,
      parent: COORDINATOR_NAME,
      nodes: this.#viewNodes(now),
      weight: 1,
      share: 1 / Math.max(1, this.#activeUsers.size),
    };
  }

  #viewNodes(now: number): NodeEntry[] {
    return this.nodes(now)
      .filter((entry) => entry.state === "online")
      .slice(0, MAX_VIEW_NODES);
  }
}

function aged(row: NodeRow, now: number): NodeEntry {
  return { ...row.entry, load: { ...row.entry.load, ageMs: row.entry.load.ageMs + Math.max(0, now - row.heardAt) } };
}
