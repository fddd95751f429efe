/** What a controller believes of the nodes: the coordinator's last view, what gateways' replies added since, and ages. */
import type { FleetView, NodeEntry } from "../protocol/fleet.ts";
import { BACKLOG_EDGES_MS, type NodeView } from "../protocol/plan.ts";

/** A view older than this is no longer live: a plan may then hold one probe of a node, and no more. */
export const VIEW_LIVE_MS = 3000;
/** Without a live view, at most one plan in this time may hold a node. */
export const PROBE_EVERY_MS = 1000;
/** A node that did not answer is left alone for this long, or until a newer connection of it shows. */
export const DOWN_MS = 2000;
/** Plans made and not yet reported that are remembered, so that their work counts as queued. */
const MAX_OUTSTANDING = 256;

/** Expected work of one plan at one node. */
export type NodeWork = { node: string; ms: number };

type Believed = { entry: NodeEntry; loadAt: number; downSince: number | null };

/** Plain data, so that it can be stored and restored. Instants are on the owner's wall clock. */
export type FleetSnapshot = { view: FleetView; contactAt: number };

export class FleetBelief {
  #view: FleetView | null = null;
  #contactAt = Number.NEGATIVE_INFINITY;
  #probedAt = Number.NEGATIVE_INFINITY;
  readonly #nodes = new Map<string, Believed>();
  /** By plan: work it may send to nodes, and when it is over in any case. In the order they were made. */
  readonly #outstanding = new Map<string, { planId: string; nodes: readonly NodeWork[]; until: number }>();

  get epoch(): number {
    return this.#view?.epoch ?? 0;
  }

  /** Time since the coordinator was last heard, `unchanged` included. */
  ageMs(now: number): number {
    return now - this.#contactAt;
  }

  absorbView(view: FleetView, now: number): void {
    this.#view = view;
    this.#contactAt = now;
    this.#nodes.clear();
    for (const entry of view.nodes) {
      this.#nodes.set(entry.node, { entry, loadAt: now - entry.load.ageMs, downSince: null });
    }
  }

  absorbUnchanged(loads: readonly NodeView[], now: number): void {
    this.#contactAt = now;
    for (const load of loads) this.absorbLoad(load, now);
  }

  /** A gateway's own word; older words (by connection epoch and sequence) are ignored. */
  absorbLoad(load: NodeView, now: number): void {
    const known = this.#nodes.get(load.node);
    if (!known) return;
    const last = known.entry.load;
    if (load.epoch < last.epoch || (load.epoch === last.epoch && load.seq < last.seq)) return;
    if (load.epoch > last.epoch) known.downSince = null;
    known.entry = { ...known.entry, load };
    known.loadAt = now - load.ageMs;
  }

  /** The node did not answer: believed down until a newer connection or the coordinator says otherwise. */
  markDown(node: string, now: number): void {
    const known = this.#nodes.get(node);
    if (known) known.downSince = now;
  }

  /** Nodes not known to be down, however old the view is. */
  known(now: number): NodeEntry[] {
    const known: NodeEntry[] = [];
    for (const { entry, downSince } of this.#nodes.values()) {
      if (entry.state === "online" && (downSince === null || now - downSince > DOWN_MS)) known.push(entry);
    }
    return known;
  }

  /** Nodes worth asking now. Without a live view that is at most one plan's worth per PROBE_EVERY_MS (`probe` is then true). */
  candidates(now: number): { nodes: NodeEntry[]; probe: boolean } {
    const nodes = this.known(now);
    if (this.ageMs(now) <= VIEW_LIVE_MS) return { nodes, probe: false };
    if (nodes.length === 0 || now - this.#probedAt < PROBE_EVERY_MS) return { nodes: [], probe: true };
    this.#probedAt = now;
    return { nodes, probe: true };
  }

  /** A plan may send this work; it counts as queued until it is reported, or its time is over. */
  expect(planId: string, nodes: readonly NodeWork[], forMs: number, now: number): void {
    if (nodes.length === 0) return;
    if (this.#outstanding.size >= MAX_OUTSTANDING) {
      this.#outstanding.delete(this.#outstanding.keys().next().value as string);
    }
    this.#outstanding.set(planId, { planId, nodes, until: now + forMs });
  }

  /** What the plan sent is in the nodes' own views from here on. */
  reported(planId: string): void {
    this.#outstanding.delete(planId);
  }

  /**
   * Work on `node` predicted to run before a job due in `dueMs`, of the node's own time: from its last view less what it
   * has worked off since, and what this user's own plans may have sent that no view has seen.
   */
  aheadMs(node: string, dueMs: number, now: number): number {
    const known = this.#nodes.get(node);
    if (!known) return 0;
    let sum = 0;
    for (const [i, workMs] of known.entry.load.backlogMs.entries()) {
      const fromMs = i === 0 ? 0 : (BACKLOG_EDGES_MS[i - 1] ?? 0);
      if (fromMs < dueMs) sum += workMs;
    }
    const lanes = known.entry.registration.concurrency;
    return (Math.max(0, sum - lanes * Math.max(0, now - known.loadAt)) + this.#ownMs(node, now)) / lanes;
  }

  /** How old the price of a node is: nothing has been heard of it, nor that it is unchanged. */
  priceAgeMs(node: string, now: number): number {
    const known = this.#nodes.get(node);
    return known ? Math.max(0, now - Math.max(known.loadAt, this.#contactAt)) : Number.POSITIVE_INFINITY;
  }

  /** For how long the coordinator has known the node to say nothing new. */
  idleMs(node: string): number {
    const known = this.#nodes.get(node);
    return known ? Math.max(0, this.#contactAt - known.loadAt) : 0;
  }

  #ownMs(node: string, now: number): number {
    let sum = 0;
    for (const { planId, nodes, until } of this.#outstanding.values()) {
      if (now > until) this.#outstanding.delete(planId);
      else for (const work of nodes) if (work.node === node) sum += work.ms;
    }
    return sum;
  }

  entries(): NodeEntry[] {
    return [...this.#nodes.values()].map((known) => known.entry);
  }

  snapshot(): FleetSnapshot | null {
    return (
      this.#view && {
        view: { ...this.#view, nodes: this.entries() },
        contactAt: this.#contactAt,
      }
    );
  }

  restore(snapshot: FleetSnapshot): void {
    this.absorbView(snapshot.view, snapshot.contactAt);
  }
}
