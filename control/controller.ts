/**
 * One user's controller: plans from memory, learns from reports, asks the coordinator about once a second.
 * Instants are milliseconds on the owner's wall clock, passed in; nothing here does I/O or reads a clock.
 */
import type { Application } from "../protocol/application.ts";
import type { ControllerExchange, ExchangeReply, NodeEntry, UserStanding } from "../protocol/fleet.ts";
import type { Insight } from "../protocol/insight.ts";
import type { Leg, Plan, PlanReply, PlanRequest, Report } from "../protocol/plan.ts";
import { seenService, type SeenService } from "./device.ts";
import { exitEvidence } from "./exit-evidence.ts";
import { FleetBelief, type FleetSnapshot, type NodeWork } from "./fleet.ts";
import {
  agedLink,
  edgeSpeed,
  NEW_EDGE_ESTIMATE,
  NEW_NODE_LINK,
  observeEdge,
  observeLink,
  type EdgeEstimate,
  type LinkEstimate,
} from "./latency.ts";
import { edgeMachine, nodeMachine, type Machine } from "./machine.ts";
import { makePlan, MAX_AWAY, type PlanInput } from "./planner.ts";
import { PredictionLog } from "./prediction-log.ts";
import { aged, idled, nodeBounds, type PriceBounds } from "./price.ts";
import { Quota } from "./quota.ts";
import { NEW_STANDING, userPrice } from "./standing.ts";

/** The coordinator is asked, and state is stored, at most this often. */
export const EXCHANGE_EVERY_MS = 1000;
export const STORE_EVERY_MS = 1000;
/** When an estimate alone makes everything look too slow, one plan in this time is made without it, or it could never recover. */
export const EDGE_PROBE_EVERY_MS = 1000;
/** Of this user's node time, at most this share goes to second nodes asked beside the first. */
const HEDGE_SHARE = 0.05;

/** What must survive eviction. Plain JSON. */
export type ControllerSnapshot = {
  schema: 3;
  /** By platform. */
  edge: Record<string, EdgeEstimate>;
  /** By node. */
  links: Record<string, LinkEstimate & { at: number }>;
  fleet: FleetSnapshot | null;
  standing: UserStanding;
};

/** What the adapter should do after an event: ask the coordinator, store a snapshot. */
export type ControllerEffects = { exchange: ControllerExchange | null; store: ControllerSnapshot | null };

type Counts = Pick<ControllerExchange, "usedMs" | "demandMs" | "edgeMs" | "offered" | "onTime">;

const NOTHING: Counts = { usedMs: 0, demandMs: 0, edgeMs: 0, offered: 0, onTime: 0 };

export type ControllerOptions = {
  /** May requests of high priority ask a second node beside the first? */
  hedging: boolean;
};

export class Controller {
  readonly #user: string;
  readonly #options: ControllerOptions;
  readonly #applications: ReadonlyMap<string, Application>;
  readonly #fleet = new FleetBelief();
  readonly #edge = new Map<string, EdgeEstimate>();
  readonly #links = new Map<string, LinkEstimate & { at: number }>();
  readonly #bounds = new WeakMap<NodeEntry["registration"], PriceBounds>();
  readonly #quota = new Quota();
  readonly #predictions = new PredictionLog();
  #standing = NEW_STANDING;
  #counts: Counts = { ...NOTHING };
  #exchangedAt = Number.NEGATIVE_INFINITY;
  #storedAt = Number.NEGATIVE_INFINITY;
  #probedAt = Number.NEGATIVE_INFINITY;
  #nodeMs = 0;
  #hedgedMs = 0;

  constructor(
    user: string,
    applications: readonly Application[],
    snapshot: ControllerSnapshot | null,
    options: ControllerOptions = { hedging: false },
  ) {
    this.#user = user;
    this.#options = options;
    this.#applications = new Map(applications.map((application) => [application.name, application]));
    if (!snapshot) return;
    for (const [platform, estimate] of Object.entries(snapshot.edge)) this.#edge.set(platform, estimate);
    for (const [node, estimate] of Object.entries(snapshot.links)) this.#links.set(node, estimate);
    if (snapshot.fleet) this.#fleet.restore(snapshot.fleet);
    this.#standing = snapshot.standing;
  }

  /** Decides one request. `effects.exchange` is set when the view is old: ask in the background, never before answering. */
  plan(request: PlanRequest, now: number, planId: string): { reply: PlanReply; effects: ControllerEffects } {
    this.#counts.offered++;
    const reply = this.#decide(request, now, planId);
    return { reply, effects: this.#effects(now, false) };
  }

  /** Learns from what happened. */
  report(report: Report, now: number): ControllerEffects {
    const application = this.#applications.get(report.application);
    this.#fleet.reported(report.planId);
    if (report.outcome === "onTime") this.#counts.onTime++;
    for (const leg of report.legs) {
      this.#predictions.add(report.application, leg);
      if (leg.at.tier === "node") this.#learnNode(leg.at.node, leg, now);
      else if (leg.at.tier === "edge" && application) this.#learnEdge(application.platform, leg, now);
    }
    for (const load of report.nodes) this.#fleet.absorbLoad(load, now);
    return this.#effects(now, true);
  }

  /** The coordinator's answer to an exchange. */
  absorb(reply: ExchangeReply, now: number): void {
    this.#standing = reply.standing;
    if (reply.kind === "view") this.#fleet.absorbView(reply.view, now);
    else this.#fleet.absorbUnchanged(reply.loads, now);
  }

  snapshot(): ControllerSnapshot {
    return {
      schema: 3,
      edge: Object.fromEntries(this.#edge),
      links: Object.fromEntries(this.#links),
      fleet: this.#fleet.snapshot(),
      standing: this.#standing,
    };
  }

  /** What a reply tells the user's device, so that it can judge whether to ask again. */
  seen(request: PlanRequest, planId: string, now: number): SeenService {
    const application = this.#applications.get(request.application);
    if (!application) return [];
    const estimate = this.#edge.get(application.platform) ?? NEW_EDGE_ESTIMATE;
    const nodes = this.#machines(this.#fleet.known(now), application, planId, request, now);
    return seenService(application, this.#edgeMachine(application, estimate, request, now), nodes);
  }

  insight(now: number): Insight {
    return {
      standing: this.#standing,
      edge: [...this.#edge].map(([platform, estimate]) => ({ platform, ...edgeSpeed(estimate, now) })),
      nodes: this.#fleet.entries().map((entry) => ({
        node: entry.node,
        price: entry.load.price,
        priceHere: this.#nodePrice(entry, now),
        aheadMs: this.#fleet.aheadMs(entry.node, Number.POSITIVE_INFINITY, now),
        ageMs: this.#fleet.priceAgeMs(entry.node, now),
        linkMs: this.#link(entry.node, now).meanMs,
      })),
      predictions: this.#predictions.rows(),
    };
  }

  #decide(request: PlanRequest, now: number, planId: string): PlanReply {
    const application = this.#applications.get(request.application);
    if (!application) {
      return { ok: false, code: "unknown_application", detail: `there is no application named ${request.application}` };
    }
    const quota = this.#quota.take(this.#standing.quotaPerSecond, now);
    if (!quota.ok) {
      const detail = `the quota of ${this.#standing.quotaPerSecond} requests a second is used up`;
      return { ok: false, code: "quota_exceeded", detail, retryAfterMs: quota.retryAfterMs };
    }
    const estimate = this.#edge.get(application.platform) ?? NEW_EDGE_ESTIMATE;
    const input: PlanInput = {
      application,
      planId,
      remainingMs: request.remainingMs,
      wishes: request.wishes,
      home: this.#edgeMachine(application, estimate, request, now),
      away: this.#nodeMachines(application, planId, request, now),
      evidence: request.evidence ?? [],
      weight: this.#standing.weight,
      hedging: this.#mayHedge(request),
      explain: request.explain ?? false,
    };
    let reply = makePlan(input);
    if (!reply.ok && reply.code === "deadline_unmeetable" && now - this.#probedAt >= EDGE_PROBE_EVERY_MS) {
      const probe = makePlan({ ...input, home: this.#edgeMachine(application, NEW_EDGE_ESTIMATE, request, now) });
      if (probe.ok) {
        // Planned as if the edge were fast; what is believed of it is what its isolate must hear.
        const { slowdown } = edgeSpeed(estimate, now);
        [reply, this.#probedAt] = [{ ok: true, plan: { ...probe.plan, edgeSlowdown: slowdown } }, now];
      }
    }
    if (reply.ok) this.#fleet.expect(planId, nodeWork(application, reply.plan), request.remainingMs, now);
    return reply;
  }

  #edgeMachine(application: Application, estimate: EdgeEstimate, request: PlanRequest, now: number): Machine {
    const { edge: view } = request;
    const speed = edgeSpeed(estimate, now);
    const aheadMs = view ? Math.max(0, view.aheadMs - view.ageMs / speed.slowdown) : 0;
    const price = userPrice(view?.price ?? 0, this.#standing.edgeUse, this.#standing.debt);
    return edgeMachine(application, speed, aheadMs, price, this.#threadPrice(request));
  }

  /** Who uses the edge more than others pays more for the front's thread as well. */
  #threadPrice({ threadPrice = 0 }: PlanRequest): number {
    return userPrice(threadPrice, this.#standing.edgeUse, this.#standing.debt);
  }

  /** Two of the live nodes that serve the application, drawn by the plan's name: with old views everybody's best is the same one. */
  #nodeMachines(application: Application, planId: string, request: PlanRequest, now: number): Machine[] {
    return this.#machines(this.#fleet.candidates(now).nodes, application, planId, request, now);
  }

  #machines(
    entries: NodeEntry[],
    application: Application,
    planId: string,
    request: PlanRequest,
    now: number,
  ): Machine[] {
    const threadPrice = this.#threadPrice(request);
    const nodes = entries.filter((entry) => application.name in entry.registration.applications);
    return drawn(nodes, planId).map((entry) => {
      const aheadMs = this.#fleet.aheadMs(entry.node, request.remainingMs, now);
      const price = this.#nodePrice(entry, now);
      return nodeMachine(entry, application, this.#link(entry.node, now), aheadMs, price, threadPrice);
    });
  }

  #nodePrice(entry: NodeEntry, now: number): number {
    let bounds = this.#bounds.get(entry.registration);
    if (!bounds) this.#bounds.set(entry.registration, (bounds = nodeBounds(entry.registration)));
    // A node of which the coordinator knows nothing new is idle; one of which nobody knows anything may be gone.
    const price = idled(entry.load.price, this.#fleet.idleMs(entry.node), bounds);
    const known = aged(price, this.#fleet.priceAgeMs(entry.node, now), bounds);
    return userPrice(known, this.#standing.nodeUse, this.#standing.debt);
  }

  #link(node: string, now: number): LinkEstimate {
    const known = this.#links.get(node);
    return known ? agedLink(known, now - known.at) : NEW_NODE_LINK;
  }

  #mayHedge(request: PlanRequest): boolean {
    return this.#options.hedging && request.wishes.priority === "high" && this.#hedgedMs <= HEDGE_SHARE * this.#nodeMs;
  }

  /** A run that did not come in time took at least as long as it was waited for. */
  #learnEdge(platform: string, leg: Leg, now: number): void {
    if (!leg.censored) this.#counts.edgeMs += leg.profileMs ?? 0;
    if ((leg.end !== "done" && leg.end !== "late") || leg.tookMs === null) return;
    const estimate = this.#edge.get(platform) ?? NEW_EDGE_ESTIMATE;
    this.#edge.set(platform, observeEdge(estimate, leg.tookMs, leg.aheadMs, leg.profileMs ?? 0, now, leg.censored));
  }

  #learnNode(node: string, leg: Leg, now: number): void {
    this.#counts.demandMs += leg.workMs;
    if (leg.end === "lost") this.#fleet.markDown(node, now);
    if (leg.end !== "done" || leg.tookMs === null) return;
    const usedMs = (leg.computeMs ?? leg.workMs) / (leg.batch ?? 1);
    this.#counts.usedMs += usedMs;
    this.#nodeMs += usedMs;
    if (leg.hedge) this.#hedgedMs += usedMs;
    const journeyMs = leg.tookMs - (leg.queueMs ?? 0) - (leg.computeMs ?? 0);
    this.#links.set(node, { ...observeLink(this.#link(node, now), journeyMs, leg.sentBytes), at: now });
  }

  #effects(now: number, learnt: boolean): ControllerEffects {
    let exchange: ControllerExchange | null = null;
    if (now - this.#exchangedAt >= EXCHANGE_EVERY_MS) {
      const sinceMs = Number.isFinite(this.#exchangedAt) ? now - this.#exchangedAt : 0;
      exchange = { user: this.#user, knownEpoch: this.#fleet.epoch, sinceMs, ...this.#counts };
      this.#exchangedAt = now;
      this.#counts = { ...NOTHING };
    }
    let store: ControllerSnapshot | null = null;
    if (learnt && now - this.#storedAt >= STORE_EVERY_MS) {
      store = this.snapshot();
      this.#storedAt = now;
    }
    return { exchange, store };
  }
}

/** At most MAX_AWAY of the nodes, chosen by the name alone: the same plan always draws the same, different plans spread. Takes them out. */
function drawn(nodes: NodeEntry[], name: string): NodeEntry[] {
  if (nodes.length <= MAX_AWAY) return nodes;
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193) >>> 0;
  return Array.from({ length: MAX_AWAY }, () => {
    hash = (Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) ^ (hash >>> 12)) >>> 0;
    return nodes.splice(hash % nodes.length, 1)[0] as NodeEntry;
  });
}

/** What a plan is expected to send to each node: its work there by how often the first exit's confidence leads to it. */
function nodeWork(application: Application, { options, first, next }: Plan): NodeWork[] {
  const begin = options[first];
  if (!begin) return [];
  if (begin.at.tier === "node") return [{ node: begin.at.node, ms: begin.workMs }];
  const { counts, total } = exitEvidence(application, begin.rung);
  const work: NodeWork[] = [];
  next[begin.rung]?.forEach((step, bin) => {
    const option = step === "stop" ? undefined : options[step];
    if (option?.at.tier !== "node" || total <= 0) return;
    const { node } = option.at;
    const ms = ((counts[bin] ?? 0) / total) * option.workMs;
    const known = work.find((one) => one.node === node);
    if (known) known.ms += ms;
    else work.push({ node, ms });
  });
  return work;
}
