/**
 * One user's controller: plans from memory, learns from reports, asks the coordinator about once a second.
 * Instants are milliseconds on the owner's wall clock, passed in; nothing here does I/O or reads a clock.
 */
import type { Application } from "../protocol/application.ts";
import type { ControllerExchange, ExchangeReply } from "../protocol/fleet.ts";
import type { Leg, PlanReply, PlanRequest, Report } from "../protocol/plan.ts";
import { FleetBelief, type FleetSnapshot } from "./fleet.ts";
import {
  edgeSpeed,
  linkUpperMs,
  NEW_EDGE_ESTIMATE,
  NEW_LINK_ESTIMATE,
  observeEdge,
  observeLink,
  type EdgeEstimate,
  type LinkEstimate,
} from "./latency.ts";
import { makePlan } from "./planner.ts";

/** The coordinator is asked, and state is stored, at most this often. */
export const EXCHANGE_EVERY_MS = 1000;
export const STORE_EVERY_MS = 1000;
/** What must survive eviction. Plain JSON. */
export type ControllerSnapshot = {
  schema: 1;
  /** By platform. */
  edge: Record<string, EdgeEstimate>;
  /** By node. */
  links: Record<string, LinkEstimate>;
  fleet: FleetSnapshot | null;
};

/** What the adapter should do after an event: ask the coordinator, store a snapshot. */
export type ControllerEffects = { exchange: ControllerExchange | null; store: ControllerSnapshot | null };

export class Controller {
  readonly #user: string;
  readonly #applications: ReadonlyMap<string, Application>;
  readonly #fleet = new FleetBelief();
  readonly #edge = new Map<string, EdgeEstimate>();
  readonly #links = new Map<string, LinkEstimate>();
  #exchangedAt = Number.NEGATIVE_INFINITY;
  #storedAt = Number.NEGATIVE_INFINITY;
  #usedMs = 0;
  #demandMs = 0;

  constructor(user: string, applications: readonly Application[], snapshot: ControllerSnapshot | null) {
    this.#user = user;
    this.#applications = new Map(applications.map((application) => [application.name, application]));
    if (!snapshot) return;
    for (const [platform, estimate] of Object.entries(snapshot.edge)) this.#edge.set(platform, estimate);
    for (const [node, estimate] of Object.entries(snapshot.links)) this.#links.set(node, estimate);
    if (snapshot.fleet) this.#fleet.restore(snapshot.fleet);
  }

  /** Decides one request. `effects.exchange` is set when the view is old: ask in the background, never before answering. */
  plan(request: PlanRequest, now: number, planId: string): { reply: PlanReply; effects: ControllerEffects } {
    const application = this.#applications.get(request.application);
    if (!application) {
      const detail = `there is no application named ${request.application}`;
      return { reply: { ok: false, code: "unknown_application", detail }, effects: this.#effects(now, false) };
    }
    const estimate = this.#edge.get(application.platform) ?? NEW_EDGE_ESTIMATE;
    const view = request.edge;
    const nodes = this.#fleet
      .candidates(now)
      .nodes.filter((entry) => application.name in entry.registration.applications)
      .map((entry) => ({
        entry,
        linkMs: linkUpperMs(this.#links.get(entry.node) ?? NEW_LINK_ESTIMATE),
        aheadMs: this.#fleet.aheadMs(entry.node, request.remainingMs, now),
      }))
      .sort((a, b) => a.linkMs + a.aheadMs - (b.linkMs + b.aheadMs));
    const reply = makePlan({
      application,
      planId,
      remainingMs: request.remainingMs,
      wishes: request.wishes,
      edge: {
        ...edgeSpeed(estimate),
        aheadMs: view ? Math.max(0, view.aheadMs - view.ageMs) : 0,
        price: view?.price ?? 0,
      },
      nodes,
      evidence: request.evidence ?? [],
    });
    return { reply, effects: this.#effects(now, false) };
  }

  /** Learns from what happened. */
  report(report: Report, now: number): ControllerEffects {
    const platform = this.#applications.get(report.application)?.platform;
    for (const leg of report.legs) {
      if (leg.at.tier === "node") this.#learnNode(leg.at.node, leg, now);
      else if (leg.at.tier === "edge" && platform !== undefined) this.#learnEdge(platform, leg);
    }
    for (const load of report.nodes) this.#fleet.absorbLoad(load, now);
    return this.#effects(now, true);
  }

  /** The coordinator's answer to an exchange. */
  absorb(reply: ExchangeReply, now: number): void {
    if (reply.kind === "view") this.#fleet.absorbView(reply.view, now);
    else this.#fleet.absorbUnchanged(reply.loads, now);
  }

  snapshot(): ControllerSnapshot {
    return {
      schema: 1,
      edge: Object.fromEntries(this.#edge),
      links: Object.fromEntries(this.#links),
      fleet: this.#fleet.snapshot(),
    };
  }

  /** A run that did not come in time took at least as long as it was waited for. */
  #learnEdge(platform: string, leg: Leg): void {
    if ((leg.end !== "done" && leg.end !== "late") || leg.tookMs === null) return;
    const estimate = this.#edge.get(platform) ?? NEW_EDGE_ESTIMATE;
    this.#edge.set(platform, observeEdge(estimate, leg.tookMs, leg.aheadMs, leg.profileMs ?? 0));
  }

  #learnNode(node: string, leg: Leg, now: number): void {
    this.#demandMs += leg.workMs;
    if (leg.end === "lost") this.#fleet.markDown(node, now);
    if (leg.end !== "done" || leg.tookMs === null) return;
    this.#usedMs += leg.computeMs ?? leg.workMs;
    const journeyMs = leg.tookMs - (leg.queueMs ?? 0) - (leg.computeMs ?? 0);
    this.#links.set(node, observeLink(this.#links.get(node) ?? NEW_LINK_ESTIMATE, journeyMs));
  }

  #effects(now: number, learnt: boolean): ControllerEffects {
    let exchange: ControllerExchange | null = null;
    if (now - this.#exchangedAt >= EXCHANGE_EVERY_MS) {
      const sinceMs = Number.isFinite(this.#exchangedAt) ? now - this.#exchangedAt : 0;
      exchange = {
        user: this.#user,
        knownEpoch: this.#fleet.epoch,
        sinceMs,
        usedMs: this.#usedMs,
        demandMs: this.#demandMs,
      };
      this.#exchangedAt = now;
      this.#usedMs = this.#demandMs = 0;
    }
    let store: ControllerSnapshot | null = null;
    if (learnt && now - this.#storedAt >= STORE_EVERY_MS) {
      store = this.snapshot();
      this.#storedAt = now;
    }
    return { exchange, store };
  }
}
