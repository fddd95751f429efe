/** A node's agent: the real executor on a simulated machine, its messages in order on a simulated socket. */
import { NodeExecutor, type Step } from "../../control/node-executor.ts";
import { batchMs, rungWork, type StageWork } from "../../control/node-work.ts";
import { HEARTBEAT_MS } from "../../control/liveness.ts";
import { REFUSALS, type NodeRegistration } from "../../protocol/fleet.ts";
import { MAX_IN_FLIGHT } from "../../protocol/limits.ts";
import type { ToAgent, ToGateway } from "../../protocol/node-messages.ts";
import { Wire } from "./link.ts";
import type { Site } from "./site.ts";
import type { Offered } from "./workload.ts";
import { LEGS, type NodeSpec, type World } from "./world.ts";

/** What the agent says to whom it is connected to. The socket of `epoch` carried it, `bytes` long. */
export type Uplink = {
  connect(): number;
  message(epoch: number, message: ToGateway): void;
  /** The runtime keeps the time of beats without waking anybody. */
  beat(epoch: number): void;
};

type Held = { sequence: number; request: Offered; exit: number; from: "input" | number };

const EMPTY = new Uint8Array(0);
/** After a loss of the connection; agents spread their attempts. */
const RECONNECT_MS = 500;
/** Of a frame without its tensor. */
export const SMALL_BYTES = 256;

export class AgentSite {
  readonly #world: World;
  readonly #index: number;
  readonly #spec: NodeSpec;
  #site: Site;
  #registration: NodeRegistration;
  readonly #uplink: Uplink;
  #executor: NodeExecutor;
  #wire: Wire;
  readonly #held = new Map<string, Held>();
  #epoch = -1;
  #boots = 1;
  #mutedUntil = 0;
  #messages = 0;

  constructor(world: World, index: number, site: Site, registration: NodeRegistration, uplink: Uplink) {
    this.#world = world;
    this.#index = index;
    this.#spec = world.plant.nodes[index] as NodeSpec;
    this.#site = site;
    this.#registration = registration;
    this.#uplink = uplink;
    this.#executor = new NodeExecutor(registration, MAX_IN_FLIGHT);
    this.#wire = new Wire(world.events);
    this.#connect();
    this.#beatOn();
  }

  /** The host was lost; it has been started anew. */
  reboot(site: Site): void {
    this.#boots++;
    this.#site = site;
    this.#registration = { ...this.#registration, bootId: `${this.#spec.name}-${this.#boots}` };
    this.#executor = new NodeExecutor(this.#registration, MAX_IN_FLIGHT);
    this.#held.clear();
    this.#connect();
  }

  /** No beat gets through for so long. */
  mute(ms: number): void {
    this.#mutedUntil = this.#world.events.now + ms;
  }

  /** The other side has closed the socket of `epoch`. */
  closed(epoch: number): void {
    this.#site.whenAwake(() => {
      if (epoch !== this.#epoch) return;
      this.#epoch = -1;
      for (const id of this.#held.keys()) this.#cancel(id);
      this.#world.events.after(RECONNECT_MS, () => this.#site.whenAwake(() => this.#connect()));
    });
  }

  /** A message has arrived. `request` is whom a job is of. */
  receive(epoch: number, message: ToAgent, request: Offered | undefined): void {
    this.#world.messages.count("agent", this.#spec.name, `to agent: ${message.kind}`);
    this.#site.whenAwake(() => {
      if (epoch === this.#epoch) this.#take(message, request);
    });
  }

  #connect(): void {
    if (this.#epoch >= 0) return;
    this.#wire = new Wire(this.#world.events);
    this.#epoch = this.#uplink.connect();
    const header = { registration: this.#registration, busyMs: this.#executor.backlogMs(this.#now()) };
    this.#say({ kind: "hello", sequence: 0, header, payload: EMPTY });
  }

  #beatOn(): void {
    this.#world.events.after(HEARTBEAT_MS, () => {
      const silent = !this.#site.alive || this.#world.events.now < this.#mutedUntil;
      const beat = (): void => {
        if (this.#epoch >= 0) this.#uplink.beat(this.#epoch);
      };
      if (!silent && this.#site.pausedUntil <= this.#world.events.now) beat();
      this.#beatOn();
    });
  }

  #take(message: ToAgent, request: Offered | undefined): void {
    if (message.kind === "probe") this.#say({ kind: "alive", sequence: 0, header: {}, payload: EMPTY });
    if (message.kind === "cancel") this.#cancel(this.#idOf(message.sequence));
    if (message.kind !== "job" || !request) return;
    const { application, from, rung, minRung, remainingMs } = message.header;
    const id = this.#idOf(message.sequence);
    const arriving = { id, application, from, rung, minRung, remainingMs };
    const arrival = this.#executor.arrive(arriving, this.#now());
    if (!arrival.queued) return this.#refuse(message.sequence, request, arrival.code, arrival.detail);
    this.#held.set(id, { sequence: message.sequence, request, exit: -1, from });
    this.#dispatch();
  }

  #idOf(sequence: number): string {
    return `${this.#epoch}:${sequence}`;
  }

  #cancel(id: string): void {
    if (this.#executor.cancel(id) === "gone") this.#held.delete(id);
  }

  #dispatch(): void {
    for (let step = this.#executor.dispatch(this.#now()); step; step = this.#executor.dispatch(this.#now())) {
      this.#follow(step);
    }
  }

  #follow(step: Step): void {
    if (step.do === "run") return this.#run(step.batch, step.ids, step.rung);
    const held = this.#held.get(step.id);
    this.#held.delete(step.id);
    if (!held) return;
    if (step.do === "late") this.#refuse(held.sequence, held.request, "too_late", REFUSALS.too_late);
    if (step.do !== "answer") return;
    const { queueMs, computeMs, batch } = step;
    const exit = this.#world.inputsOf(held.request.user.application).exit(held.request.input, held.exit);
    const header = { exit, queueMs, computeMs, batch, backlogMs: this.#executor.backlogMs(this.#now()) };
    this.#say({ kind: "answer", sequence: held.sequence, header, payload: EMPTY }, held.request);
  }

  #run(batch: number, ids: readonly string[], rung: number): void {
    const jobs = ids.map((id) => this.#held.get(id)).filter((held) => held !== undefined);
    const [first] = jobs;
    if (!first) return;
    const stage = this.#stage(first.request, rung);
    const executor = this.#executor;
    const requests = jobs.map(({ request }) => request.id);
    this.#site.compute(batchMs([stage], ids.length), requests, rung, () => {
      for (const held of jobs) held.exit = rung;
      for (const step of executor.stageEnded(batch, this.#now())) this.#follow(step);
      this.#dispatch();
    });
  }

  #stage({ user }: Offered, rung: number): StageWork {
    const stage = rungWork(this.#registration, user.application.name, "input", rung)?.stages.at(-1);
    if (!stage) throw new RangeError(`${this.#spec.name} has no profile of rung ${rung} of ${user.application.name}`);
    return stage;
  }

  #refuse(sequence: number, request: Offered, code: keyof typeof REFUSALS, detail: string): void {
    const header = { code, detail, backlogMs: this.#executor.backlogMs(this.#now()) };
    this.#say({ kind: "refusal", sequence, header, payload: EMPTY }, request);
  }

  /** `request`: whose job it speaks of. */
  #say(message: ToGateway, request?: Offered): void {
    const epoch = this.#epoch;
    if (epoch < 0) return;
    const world = this.#world;
    const way = request
      ? world.socketWay(request.id, this.#index, 1, SMALL_BYTES)
      : world.way(this.#spec.link, this.#messages++, LEGS.frame, SMALL_BYTES);
    this.#wire.send(way, () => this.#uplink.message(epoch, message));
  }

  #now(): number {
    return this.#world.clock(this.#spec.name, "fine");
  }
}
