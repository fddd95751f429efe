/**
 * What all baselines share: requests travel from the user to the front, from there to a machine and back, over the same
 * ways and with the same estimates as Dystri's. A policy says where a request goes and what a machine runs next; it may
 * begin on the user's device. What it knows of a machine is what the front has sent there and what came back.
 */
import type { From } from "../../../control/ladder.ts";
import {
  linkMeanMs,
  linkUpperMs,
  NEW_LINK_ESTIMATE,
  observeLink,
  type LinkEstimate,
} from "../../../control/latency.ts";
import type { Application } from "../../../protocol/application.ts";
import type { ExitResult } from "../../../protocol/plan.ts";
import { ON_DEVICE, type Status } from "../../simulator/records.ts";
import type { Fault } from "../../simulator/faults.ts";
import { Site } from "../../simulator/site.ts";
import { luck, Random } from "../../simulator/random.ts";
import type { UserSide } from "../../simulator/user-side.ts";
import type { Offered, User } from "../../simulator/workload.ts";
import { LEGS, type Direction, type Policy, type World } from "../../simulator/world.ts";
import { localWork, nodeWork } from "./ladder-profile.ts";
import { Server, type Core, type Job, type JobEnd, type Selector } from "./server.ts";

/** A machine as the front sees it. */
export type Known = {
  server: Server;
  link: LinkEstimate;
  /** Jobs sent and not yet back, and their expected milliseconds where the rung was known. */
  outstanding: number;
  outstandingMs: number;
  /** Machine milliseconds a job took there of late. */
  serviceMs: number;
};

/** A request at its user: what is held, and whether it is over. */
export type Task = { request: Offered; side: UserSide; exits: ExitResult[]; dueAt: number; finished: boolean };

/** What a client that decides for itself asks for: the machine, the rung, and where it would stop early. */
export type Wish = { known?: Known; rung?: number; stops?: (exit: number) => boolean };

/** A request at the front. `leftMs`: for the service, until the reply must leave the front. */
export type Ask = Wish & { task: Task; from: From; leftMs: number };

/** Where a request goes; null rejects it. */
export type Route = { known: Known; rung: number } | null;

export type ServingOptions = {
  core: Core;
  /** `uncorrected`: a system that knows of no network takes the whole deadline for its own. */
  network: "corrected" | "uncorrected";
};

/** Of the mean service time: about twenty jobs. */
const SERVICE_WEIGHT = 0.05;
const FIRST_SERVICE_MS = 5;
/** Three beats, as Dystri's own coordinator waits. */
const BEATS_MISSED_MS = 3000;

export abstract class Serving implements Policy {
  protected readonly world: World;
  protected readonly nodes: readonly Known[];
  protected readonly random: Random;
  readonly #options: ServingOptions;
  /** Isolates by platform. */
  readonly #edges: ReadonlyMap<string, Known[]>;
  readonly #seen = new Map<User, ReadonlyMap<Known, number>>();

  constructor(world: World, options: ServingOptions, selector: Selector) {
    this.world = world;
    this.#options = options;
    this.random = new Random(world.seed, "policy");
    const known = (server: Server): Known => ({
      server,
      link: NEW_LINK_ESTIMATE,
      outstanding: 0,
      outstandingMs: 0,
      serviceMs: FIRST_SERVICE_MS,
    });
    this.nodes = world.nodes.map(({ spec, site, registration }, node) =>
      known(
        new Server(
          { name: spec.name, node, lanes: spec.cores, batching: true },
          world.events,
          site,
          options.core,
          selector,
          (application, rung, from) => nodeWork(registration, application, rung, from),
        ),
      ),
    );
    this.#edges = new Map(
      [...world.edges].map(([platform, sites]) => [
        platform,
        sites.map((site, i) =>
          known(
            new Server(
              { name: `edge:${platform}:${i}`, node: -1, lanes: 1, batching: false },
              world.events,
              site,
              options.core,
              selector,
              (application, rung, from) => localWork(application, "edge", 1, rung, from),
            ),
          ),
        ),
      ]),
    );
  }

  /** Default: straight to the service. */
  arrive(request: Offered): void {
    this.send(this.task(request));
  }

  /** What a lost node had is missed when its beats have been; a new one takes its place in time. */
  fault(fault: Fault): void {
    const known = fault.kind === "die" ? this.nodes[fault.node] : undefined;
    if (!known || fault.kind !== "die") return;
    const { events, seed, plant } = this.world;
    const lost = known.server.lose();
    events.after(Math.min(BEATS_MISSED_MS, fault.forMs), () => {
      for (const job of lost) job.end({ kind: "lost" });
    });
    events.after(fault.forMs, () => known.server.restart(new Site(events, seed, 1, plant.sigma)));
  }

  /** A request has reached the front. */
  protected abstract route(ask: Ask): Route;

  /** Whether replies say how long machines would make one wait: of use only to clients that choose for themselves. */
  protected get tellsWaits(): boolean {
    return false;
  }

  protected task(request: Offered): Task {
    const dueAt = request.atMs + request.user.deadlineMs;
    return { request, side: this.world.side(request.user), exits: [], dueAt, finished: false };
  }

  /** Asks the service for the rest of a request. */
  protected send(task: Task, from: From = "input", wish: Wish = {}): void {
    const { request, side } = task;
    const { application, deadlineMs } = request.user;
    const bytes = from === "input" ? application.input.bytes : (application.rungs[from]?.cut?.bytes.u8 ?? 0);
    const leftMs =
      this.#options.network === "corrected"
        ? leftAtService(task.dueAt - this.world.events.now, side.estimate, bytes)
        : deadlineMs - (this.world.events.now - request.atMs);
    side.ask(request, bytes, (reply) => {
      this.#atFront({ task, from, leftMs, ...wish }, (end, node) => {
        const waits = this.tellsWaits ? this.#waits(request) : null;
        reply(() => {
          if (waits) this.#seen.set(request.user, waits);
          this.#home(task, end, node);
        });
      });
    });
  }

  /** The isolate that the platform gives this request, which no policy chooses. */
  protected edgeOf(request: Offered): Known | undefined {
    const sites = this.#edges.get(request.user.application.platform) ?? [];
    return sites[Math.floor(luck(this.world.seed, request.id, LEGS.edge) * sites.length)];
  }

  /** One of the isolates of an application's platform, for planners to whom they are all alike. */
  protected edgesOf(application: Application): Known[] {
    return this.#edges.get(application.platform)?.slice(0, 1) ?? [];
  }

  /** Expected milliseconds until a job sent now would begin, by what the front has sent there and not got back. */
  protected waitMs({ server, outstanding, serviceMs: each }: Known): number {
    return (outstanding * each) / server.lanes;
  }

  /** The same as a client last heard of it, with its latest reply; nothing heard is no wait. Needs `tellsWaits`. */
  protected seenWaitMs(request: Offered, known: Known): number {
    return this.#seen.get(request.user)?.get(known) ?? 0;
  }

  /** The machines that could serve a request. */
  protected machinesOf(request: Offered): Known[] {
    const edge = this.edgeOf(request);
    return edge ? [...this.nodes, edge] : [...this.nodes];
  }

  /** Time a machine has for its part when the service has `leftMs`. */
  protected machineMs(known: Known, { leftMs, from, task }: Ask): number {
    if (this.#options.network === "uncorrected") return leftMs;
    const bytes = this.#bytesTo(known, task.request.user.application, from);
    return Math.max(leftMs - linkUpperMs(known.link, bytes), (leftMs - linkMeanMs(known.link, bytes)) / 2);
  }

  /** Ends a request at its user with the deepest exit held, or without an answer. */
  protected finishAtHome(task: Task, status: Status): void {
    if (task.finished) return;
    task.finished = true;
    const held = task.exits.at(-1);
    if (held) this.#record(task, "onTime", held.exit, ON_DEVICE);
    else this.#record(task, status, -1, -1);
  }

  /** With an exit held, the deadline is not let pass: the answer is what is held then. */
  protected releaseAtDeadline(task: Task): void {
    this.world.events.at(task.dueAt, () => {
      if (task.exits.length > 0) this.finishAtHome(task, "onTime");
    });
  }

  #atFront(ask: Ask, reply: (end: JobEnd | "rejected", node: number) => void): void {
    const { events } = this.world;
    const { request } = ask.task;
    const route = this.route(ask);
    if (!route) {
      reply("rejected", -1);
      return;
    }
    const { known, rung } = route;
    const { server } = known;
    const { application } = request.user;
    const work = rung < 0 ? null : server.work(application, rung, ask.from);
    const expectedMs = work ? server.meanMs(work, 1) : known.serviceMs;
    const computeMs = this.machineMs(known, ask);
    const sentAt = events.now;
    known.outstanding++;
    known.outstandingMs += expectedMs;
    events.after(this.#way(known, request, ask.from, 0), () => {
      const arrivedAt = events.now;
      const end = (ended: JobEnd): void => {
        const thereMs = events.now - arrivedAt;
        events.after(this.#way(known, request, ask.from, 1), () => {
          known.outstanding--;
          known.outstandingMs -= expectedMs;
          if (ended.kind === "answer") {
            const ran = server.work(application, ended.rung, ask.from);
            const tookMs = ran
              ? server.speed.workMs({ medianMs: ran.stages.reduce((sum, { medianMs }) => sum + medianMs, 0) })
              : 0;
            known.serviceMs += SERVICE_WEIGHT * (tookMs - known.serviceMs);
          }
          known.link = observeLink(
            known.link,
            events.now - sentAt - thereMs,
            this.#bytesTo(known, application, ask.from),
          );
          reply(ended, server.node);
        });
      };
      const { from, stops } = ask;
      const job: Job = {
        request,
        from,
        dueAt: arrivedAt + computeMs,
        arrivedAt,
        rung,
        end,
        ...(stops ? { stops } : {}),
      };
      server.push(job);
    });
  }

  #waits(request: Offered): ReadonlyMap<Known, number> {
    const machines = request.user.device ? this.machinesOf(request) : [];
    return new Map(machines.map((known) => [known, this.waitMs(known)]));
  }

  #home(task: Task, end: JobEnd | "rejected", node: number): void {
    if (task.finished) return;
    const held = task.exits.at(-1);
    if (end === "rejected") return this.finishAtHome(task, "rejected");
    if (end.kind !== "answer") return this.finishAtHome(task, end.kind === "lost" ? "error" : "dropped");
    if (held && held.exit >= end.rung) return this.finishAtHome(task, "onTime");
    task.finished = true;
    this.#record(task, "onTime", end.rung, node);
  }

  /** The world itself calls late what is. */
  #record({ request }: Task, status: Status, rung: number, node: number): void {
    this.world.finish(request, { status, rung, node, degraded: false, predictedMs: 0 });
  }

  #bytesTo({ server }: Known, application: Application, from: From): number {
    if (server.node < 0) return 0;
    return from === "input" ? application.input.bytes : (application.rungs[from]?.cut?.bytes.u8 ?? 0);
  }

  /** From the front to the machine, or back. */
  #way(known: Known, request: Offered, from: From, back: Direction): number {
    const { world } = this;
    const { plant } = world;
    const { node } = known.server;
    if (node < 0) return world.way(plant.edge.call, request.id, LEGS.edge + back);
    const bytes = back === 0 ? this.#bytesTo(known, request.user.application, from) : 0;
    return world.gatewayWay(request.id, node, back) + world.socketWay(request.id, node, back, bytes);
  }
}

/**
 * Of `leftMs` at the user, what is counted on at the service: half-way between the link's expected time and its upper
 * estimate, which did best of both and this on the validation split for the three policies it was tried with (greedy+drop,
 * gie+drop, edgeserving+drop). Dystri itself counts on the expected time.
 */
function leftAtService(leftMs: number, link: LinkEstimate, bytes: number): number {
  const [meanMs, upperMs] = [linkMeanMs(link, bytes), linkUpperMs(link, bytes)];
  return Math.max(leftMs - (meanMs + upperMs) / 2, 0);
}
