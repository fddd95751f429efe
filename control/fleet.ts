/** What a controller believes of the nodes: the coordinator's last view, what gateways' replies added since, and ages. */
import type { FleetView, NodeEntry } from "../protocol/fleet.ts";
import { BACKLOG_EDGES_MS, type NodeView } from "../protocol/plan.ts";

/** A view older than this is no longer live: a plan may then hold one probe of a node, and no more. */
export const VIEW_LIVE_MS = 3000;
/** Without a live view, at most one plan in this time may hold a node. */
export const PROBE_EVERY_MS = 1000;

type Believed = { entry: NodeEntry; loadAt: number; downSince: number | null };

/** Plain data, so that it can be stored and restored. Instants are on the owner's wall clock. */
export type FleetSnapshot = { view: FleetView; contactAt: number };

export class FleetBelief {
  #view: FleetView | null = null;
  #contactAt = Number.NEGATIVE_INFINITY;
  #probedAt = Number.NEGATIVE_INFINITY;
  readonly #nodes = new Map<string, Believed>();

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

  /** Nodes worth asking now. Without a live view that is at most one plan's worth per PROBE_EVERY_MS (`probe` is then true). */
  candidates(now: number): { nodes: NodeEntry[]; probe: boolean } {
    const nodes = [...this.#nodes.values()]
      .filter((known) => known.entry.state === "online" && known.downSince === null)
      .map((known) => known.entry);
    if (this.ageMs(now) <= VIEW_LIVE_MS) return { nodes, probe: false };
    if (nodes.length === 0 || now - this.#probedAt < PROBE_EVERY_MS) return { nodes: [], probe: true };
    this.#probedAt = now;
    return { nodes, probe: true };
  }

  /** Work on `node` predicted to run before a job due in `dueMs`, from its last view less what has passed since. */
  aheadMs(node: string, dueMs: number, now: number): number {
    const known = this.#nodes.get(node);
    if (!known) return 0;
    let sum = 0;
    known.entry.load.backlogMs.forEach((workMs, i) => {
      if ((BACKLOG_EDGES_MS[i - 1] ?? 0) < dueMs) sum += workMs;
    });
    return Math.max(0, sum - (now - known.loadAt));
  }

  snapshot(): FleetSnapshot | null {
    return (
      this.#view && {
        view: { ...this.#view, nodes: [...this.#nodes.values()].map((n) => n.entry) },
        contactAt: this.#contactAt,
      }
    );
  }

  restore(snapshot: FleetSnapshot): void {
    this.absorbView(snapshot.view, snapshot.contactAt);
  }
}
