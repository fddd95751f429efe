/**
 * Proteus-like (ASPLOS 2024; EVALUATION §5.7, re-implemented from its description). Every epoch a linear programme says
 * which share of each application's demand goes to which machine at which rung, for the most accuracy by rate while β
 * times the demand is served; β falls until that is possible. Requests are routed at random by these shares. A machine
 * batches at the last moment: the head is dropped where even a full batch is late, and a batch waits while one more would
 * still be in time.
 *
 * Not as published: its machines hold one variant each; here all rungs are loaded, so a machine's time is shared among
 * variants, which can only help it and makes the programme linear. Solver time delays each plan by a committed table
 * (solver-times.json), so that runs do not depend on the machine they run on.
 */
import { readFileSync } from "node:fs";
import { LinearProgramme, type Solver } from "../bounds/solver.ts";
import type { Application } from "../../protocol/application.ts";
import type { Offered } from "../simulator/workload.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import { Demand } from "./kit/epochs.ts";
import { chosen } from "./kit/selectors.ts";
import type { Choice, Job, Selector, Server } from "./kit/server.ts";
import { Serving, type Ask, type Known, type Route, type ServingOptions } from "./kit/serving.ts";

export type ProteusParameters = {
  epochMs: number;
  /** How much more than the demand is planned for. */
  beta: number;
  machines: "nodes" | "all";
  /** Batches wait until the last moment, or run as soon as the machine is free. */
  batching: "last moment" | "at once";
  limit: number;
};

export const PROTEUS: ProteusParameters = {
  epochMs: 1000,
  beta: 1.05,
  machines: "all",
  batching: "last moment",
  limit: 8,
};

const LEAST_BETA = 0.2;
const TIME_LIMIT_S = 5;

/** What planning needs of a solver. */
export type PlanSolver = Pick<Solver, "solveInteger">;

/** Milliseconds of planning, by the size of the programme. */
export type SolverTimes = { byColumns: { columns: number; ms: number }[] };

export function loadSolverTimes(): SolverTimes {
  return JSON.parse(readFileSync(new URL("solver-times.json", import.meta.url), "utf8")) as SolverTimes;
}

type Share = { known: Known; rung: number; share: number };

class LastMoment implements Selector {
  readonly #parameters: ProteusParameters;

  constructor(parameters: ProteusParameters) {
    this.#parameters = parameters;
  }

  choose(server: Server, now: number): Choice {
    const head = server.queue[0] as Job;
    const { batching, limit } = this.#parameters;
    const work = chosen(server, head);
    if (batching === "at once") return { work, jobs: server.inTime(head, work, limit, now) };
    const jobs = server.inTime(head, work, limit, now);
    const full = jobs.length >= limit || !server.batching;
    const lastAt = head.dueAt - server.upperMs(work, jobs.length + 1);
    // Its queues are one per machine; where several variants share one, none is held up for another to fill.
    return full || now >= lastAt || jobs.length < server.queue.length ? { work, jobs } : { waitUntil: lastAt };
  }
}

class Proteus extends Serving {
  readonly #parameters: ProteusParameters;
  readonly #solver: PlanSolver;
  readonly #times: SolverTimes;
  readonly #demand = new Demand();
  #shares = new Map<Application, Share[]>();
  #plannedAt = Number.NEGATIVE_INFINITY;

  constructor(
    world: World,
    options: ServingOptions,
    parameters: ProteusParameters,
    solver: PlanSolver,
    times: SolverTimes,
  ) {
    super(world, options, new LastMoment(parameters));
    this.#parameters = parameters;
    this.#solver = solver;
    this.#times = times;
  }

  override arrive(request: Offered): void {
    this.#demand.count(request);
    super.arrive(request);
  }

  protected route({ task: { request } }: Ask): Route {
    const { now } = this.world.events;
    if (now - this.#plannedAt >= this.#parameters.epochMs) {
      this.#plannedAt = now;
      const { shares, columns, programmes } = this.#plan(now);
      this.world.events.after(programmes * this.#delayMs(columns), () => (this.#shares = shares));
    }
    const { application } = request.user;
    const shares = this.#shares.get(application);
    if (!shares) return this.#unplanned(request);
    let draw = this.random.uniform();
    for (const { known, rung, share } of shares) {
      draw -= share;
      if (draw > 0) continue;
      // A platform's isolates are one machine to the planner: the platform itself chooses between them.
      const edge = known.server.node < 0 ? this.edgeOf(request) : undefined;
      return { known: edge ?? known, rung };
    }
    return null;
  }

  /** Before the first plan that knows the application: the quickest rung at the least busy node. */
  #unplanned(request: Offered): Route {
    const known = this.nodes.reduce((a, b) => (this.waitMs(b) < this.waitMs(a) ? b : a));
    const [quickest] = known.server.frontier(request.user.application);
    return quickest ? { known, rung: quickest.rung } : null;
  }

  #plan(now: number): { shares: Map<Application, Share[]>; columns: number; programmes: number } {
    const demand = this.#demand.applications(now).filter(({ perS }) => perS > 0.1);
    const columns: {
      at: number;
      application: Application;
      known: Known;
      rung: number;
      perS: number;
      capacity: number;
      accuracy: number;
    }[] = [];
    demand.forEach(({ application, perS, deadlineMs }, at) => {
      for (const known of this.#machines(application)) {
        for (const work of known.server.frontier(application)) {
          const capacity = this.#capacity(known.server, deadlineMs, (batch) => known.server.upperMs(work, batch));
          if (capacity > 0)
            columns.push({ at, application, known, rung: work.rung, perS, capacity, accuracy: work.accuracy });
        }
      }
    });
    const total = demand.reduce((sum, { perS }) => sum + perS, 0);
    let programmes = 0;
    for (let beta = this.#parameters.beta; beta >= LEAST_BETA - 1e-9 && columns.length > 0; beta -= 0.05) {
      const programme = new LinearProgramme();
      for (const { perS, accuracy } of columns) programme.addColumn((perS * accuracy) / total, 1);
      demand.forEach((_, at) => {
        programme.addRow(
          1,
          columns.flatMap((column, i): [number, number][] => (column.at === at ? [[i, 1]] : [])),
        );
      });
      for (const known of new Set(columns.map((column) => column.known))) {
        const row = columns.flatMap((column, i): [number, number][] => {
          return column.known === known ? [[i, (Math.max(1, beta) * column.perS) / column.capacity]] : [];
        });
        programme.addRow(1, row);
      }
      programme.addRow(
        -Math.min(1, beta) * total,
        columns.map(({ perS }, i): [number, number] => [i, -perS]),
      );
      programmes++;
      const { status, values } = this.#solver.solveInteger(programme, TIME_LIMIT_S);
      if (status !== "optimal") continue;
      const shares = new Map<Application, Share[]>(demand.map(({ application }) => [application, []]));
      columns.forEach(({ application, known, rung }, i) => {
        const share = values[i] as number;
        if (share > 1e-6) shares.get(application)?.push({ known, rung, share });
      });
      return { shares, columns: columns.length, programmes };
    }
    return { shares: this.#shares, columns: columns.length, programmes };
  }

  #machines(application: Application): Known[] {
    return this.#parameters.machines === "all" ? [...this.nodes, ...this.edgesOf(application)] : [...this.nodes];
  }

  /** Requests a second at the largest batch that takes at most half of the deadline. */
  #capacity(server: Server, deadlineMs: number, upperMs: (batch: number) => number): number {
    let most = 0;
    for (let batch = 1; batch <= (server.batching ? this.#parameters.limit : 1); batch *= 2) {
      const ms = upperMs(batch);
      if (ms < deadlineMs / 2) most = Math.max(most, (1000 * batch * server.lanes) / ms);
    }
    return most;
  }

  #delayMs(columns: number): number {
    const row = this.#times.byColumns.find((one) => columns <= one.columns) ?? this.#times.byColumns.at(-1);
    return row?.ms ?? 0;
  }
}

export const proteus =
  (parameters: ProteusParameters, options: ServingOptions, solver: PlanSolver, times: SolverTimes): PolicyOf =>
  (world) =>
    new Proteus(world, options, parameters, solver, times);
