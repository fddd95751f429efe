/**
 * What Dystri is not to see, for ablations: the control code stays as it is, and what comes to it and goes from it is
 * changed on the way. The default changes nothing.
 */
import { rungAt } from "../../control/ladder.ts";
import type { LinkEstimate } from "../../control/latency.ts";
import type { Application } from "../../protocol/application.ts";
import type { ExchangeReply, NodeEntry, NodeRegistration } from "../../protocol/fleet.ts";
import type { EdgeView, Plan, PlanRequest, Report } from "../../protocol/plan.ts";

export type LensOptions = {
  /** Every machine's time is free. */
  price: boolean;
  /** A confidence says something of the input. */
  evidence: boolean;
  /** Users' devices compute. */
  device: boolean;
  /** Journeys take time. */
  network: boolean;
  /** What a machine is asked for may become less when time is short. */
  stepDown: boolean;
  /** Views of machines are older by this much. */
  staleMs: number;
};

export const CLEAR: LensOptions = {
  price: true,
  evidence: true,
  device: true,
  network: true,
  stepDown: true,
  staleMs: 0,
};

const NO_JOURNEY: LinkEstimate = { meanMs: 0, deviationMs: 0, msPerKiB: 0 };

export class Lens {
  readonly options: LensOptions;
  readonly #applications = new Map<Application, Application>();
  readonly #registrations = new Map<NodeRegistration, NodeRegistration>();
  /** Edge views as they came, by platform. */
  readonly #history = new Map<string, { at: number; view: EdgeView }[]>();

  constructor(options: Partial<LensOptions> = {}) {
    this.options = { ...CLEAR, ...options };
  }

  application(application: Application): Application {
    if (this.options.evidence) return application;
    let seen = this.#applications.get(application);
    if (!seen) this.#applications.set(application, (seen = withoutEvidence(application)));
    return seen;
  }

  link(estimate: LinkEstimate): LinkEstimate {
    return this.options.network ? estimate : NO_JOURNEY;
  }

  question(question: PlanRequest, platform: string, now: number): PlanRequest {
    const { price, staleMs } = this.options;
    let { edge } = question;
    if (edge && staleMs > 0) edge = this.#stale(platform, edge, now);
    if (edge && !price) edge = { ...edge, price: 0 };
    const { edge: _, ...rest } = question;
    return edge ? { ...rest, edge } : rest;
  }

  plan(plan: Plan): Plan {
    if (this.options.stepDown) return plan;
    return { ...plan, options: plan.options.map((option) => ({ ...option, minRung: option.rung })) };
  }

  exchange(reply: ExchangeReply): ExchangeReply {
    if (this.options.price) return reply;
    if (reply.kind === "view") {
      return { ...reply, view: { ...reply.view, nodes: reply.view.nodes.map((entry) => this.#entry(entry)) } };
    }
    return { ...reply, loads: reply.loads.map((load) => ({ ...load, price: 0 })) };
  }

  /** What is learnt at once, and what of machines' views comes later. */
  report(report: Report): { now: Report; later: Report | null } {
    const { price, network, staleMs } = this.options;
    const legs = network
      ? report.legs
      : report.legs.map((leg) => {
          const tookMs =
            leg.at.tier === "node" && leg.tookMs !== null ? (leg.queueMs ?? 0) + (leg.computeMs ?? 0) : leg.tookMs;
          return { ...leg, tookMs };
        });
    const nodes = price ? report.nodes : report.nodes.map((view) => ({ ...view, price: 0 }));
    if (staleMs === 0) return { now: { ...report, legs, nodes }, later: null };
    const later = nodes.map((view) => ({ ...view, ageMs: view.ageMs + staleMs }));
    return {
      now: { ...report, legs, nodes: [] },
      // Of a plan long reported, with nothing to learn but the views.
      later: { ...report, outcome: "cancelled", legs: [], nodes: later },
    };
  }

  /** The newest view that is old enough; while there is none, nothing has been heard. */
  #stale(platform: string, view: EdgeView, now: number): EdgeView | undefined {
    const { staleMs } = this.options;
    const history = this.#history.get(platform) ?? [];
    this.#history.set(platform, history);
    history.push({ at: now, view });
    while (history[1] && history[1].at <= now - staleMs) history.shift();
    const first = history[0];
    return first && first.at <= now - staleMs ? { ...first.view, ageMs: first.view.ageMs + now - first.at } : undefined;
  }

  /** Free, and so that ageing makes it no dearer. */
  #entry(entry: NodeEntry): NodeEntry {
    let registration = this.#registrations.get(entry.registration);
    if (!registration) {
      const applications = Object.entries(entry.registration.applications).map(([name, served]) => {
        const rungs = Object.entries(served.rungs).map(([rung, profile]) => [rung, { ...profile, quality: 0 }]);
        return [name, { ...served, rungs: Object.fromEntries(rungs) as typeof served.rungs }];
      });
      registration = {
        ...entry.registration,
        applications: Object.fromEntries(applications) as NodeRegistration["applications"],
      };
      this.#registrations.set(entry.registration, registration);
    }
    return { ...entry, registration, load: { ...entry.load, price: 0 } };
  }
}

/** The same ladder whose tables give every confidence the average. */
function withoutEvidence(application: Application): Application {
  return {
    ...application,
    rungs: application.rungs.map((rung, exit) => {
      const { evidence } = rungAt(application, exit);
      const total = evidence.reduce((sum, { count }) => sum + count, 0);
      const right = application.rungs.map((_, at) =>
        evidence.reduce((sum, row) => sum + ((row.right[at] ?? 0) * row.count) / total, 0),
      );
      return { ...rung, evidence: evidence.map((row) => ({ ...row, right })) };
    }),
  };
}
