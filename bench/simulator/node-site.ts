/** A node with its gateway: the real gateway machine as an object that can lose its memory, an agent behind a socket. */
import { Gateway, RENEW_EVERY_MS, type GatewayEffect } from "../../control/gateway.ts";
import { MAX_LIVES } from "../../control/ledger.ts";
import type { NodeJob, NodeReply } from "../../protocol/fleet.ts";
import { MAX_DEADLINE_MS } from "../../protocol/limits.ts";
import { AgentSite, SMALL_BYTES } from "./agent-site.ts";
import type { CoordinatorSite } from "./coordinator-site.ts";
import type { Timer } from "./event-queue.ts";
import { Wire } from "./link.ts";
import { Site } from "./site.ts";
import type { Offered } from "./workload.ts";
import { LEGS, type World } from "./world.ts";

/** `failed`: the call itself did, and brought no reply. */
export type Submitted = NodeReply | "failed";

/** Of a frame that closes a socket. */
const CLOSE_BYTES = 64;

type Waiting = { reply: (reply: Submitted) => void; timer: Timer; request: Offered };

export class NodeSite {
  readonly index: number;
  readonly #world: World;
  readonly #name: string;
  readonly #clock: string;
  readonly #spec: World["nodes"][number]["spec"];
  readonly #coordinator: CoordinatorSite;
  readonly #agent: AgentSite;
  #gateway: Gateway;
  #wire: Wire;
  #beatAt = Number.NEGATIVE_INFINITY;
  readonly #waiting = new Map<string, Waiting>();
  #frames = 0;

  constructor(world: World, index: number, coordinator: CoordinatorSite) {
    const node = world.nodes[index];
    if (!node) throw new RangeError(`there is no node ${index}`);
    this.index = index;
    this.#world = world;
    this.#spec = node.spec;
    this.#name = `gw:local:${node.spec.name}`;
    this.#clock = this.#name;
    this.#coordinator = coordinator;
    this.#wire = new Wire(world.events);
    const memory = { node: node.spec.name, epoch: 0, registration: null, revoked: null };
    this.#gateway = new Gateway(this.#name, memory, null, this.#now());
    this.#agent = new AgentSite(world, index, node.site, node.registration, {
      connect: () => this.#connect(),
      message: (epoch, message) => {
        world.messages.count("gateway", this.#name, `to gateway: ${message.kind}`);
        this.#apply(this.#gateway.receive(epoch, message, this.#now()));
      },
      beat: () => (this.#beatAt = this.#now()),
    });
    this.#renew();
  }

  /** A call has arrived; `reply` is called once. */
  submit(job: NodeJob, request: Offered, reply: (reply: Submitted) => void): void {
    this.#world.messages.count("gateway", this.#name, "submit");
    this.#hearBeat();
    const now = this.#now();
    const waitMs = Math.min(job.remainingMs, MAX_DEADLINE_MS);
    const gateway = this.#gateway;
    const timer = this.#world.events.after(waitMs, () => {
      if (this.#gateway !== gateway) return;
      this.#hearBeat();
      this.#apply(this.#gateway.expire(job.ticket, this.#now()));
    });
    const effects = this.#gateway.submit(job, now);
    const refused = effects.find((effect) => effect.do === "refuse");
    if (refused) this.#world.events.cancel(timer);
    else this.#waiting.set(job.ticket, { reply, timer, request });
    this.#apply(effects, request);
    if (refused) reply(refused.reply);
  }

  cancel(ticket: string): void {
    this.#world.messages.count("gateway", this.#name, "cancel");
    this.#apply(this.#gateway.cancel(ticket, this.#now()));
  }

  /** The object loses its memory; who waited at it hears that it failed. The socket stays. */
  evict(): void {
    const { memory, link } = this.#gateway;
    const resumed = link && { ...link, life: (link.life + 1) % MAX_LIVES };
    this.#gateway = new Gateway(this.#name, memory, resumed, this.#now());
    for (const { reply, timer } of this.#waiting.values()) {
      this.#world.events.cancel(timer);
      reply("failed");
    }
    this.#waiting.clear();
  }

  /** The host that was lost is back, as a new machine. */
  reboot(): void {
    const site = new Site(this.#world.events, this.#world.seed, 1, this.#world.plant.sigma);
    this.#agent.reboot(site);
  }

  mute(ms: number): void {
    this.#agent.mute(ms);
  }

  #connect(): number {
    this.#wire = new Wire(this.#world.events);
    this.#apply(this.#gateway.connect(this.#spec.name, this.#now()));
    return this.#gateway.memory.epoch;
  }

  #renew(): void {
    this.#world.events.after(RENEW_EVERY_MS, () => {
      this.#hearBeat();
      if (this.#gateway.link) this.#apply(this.#gateway.renew(this.#now()));
      this.#renew();
    });
  }

  #apply(effects: readonly GatewayEffect[], request?: Offered): void {
    for (const effect of effects) {
      switch (effect.do) {
        case "send":
          this.#send(effect.message, request);
          break;
        case "settle":
          this.#settle(effect.ticket, effect.reply);
          break;
        case "close":
          this.#close(effect.epoch);
          break;
        case "report":
          this.#report();
          break;
        case "wake":
          this.#world.events.after(effect.afterMs, () => {
            this.#hearBeat();
            this.#apply(this.#gateway.tick(this.#now()));
          });
          break;
        case "refuse":
        case "save":
          break;
      }
    }
  }

  #send(message: Extract<GatewayEffect, { do: "send" }>["message"], request: Offered | undefined): void {
    const { epoch } = this.#gateway.memory;
    // The simulated frame knows whose it is; a real one carries the tensor instead.
    const whose = message.kind === "job" ? request : undefined;
    const bytes = SMALL_BYTES + message.payload.byteLength;
    const way = whose ? this.#world.socketWay(whose.id, this.index, 0, bytes) : this.#frame(bytes);
    this.#wire.send(way, () => this.#agent.receive(epoch, message, whose));
  }

  #settle(ticket: string, reply: NodeReply): void {
    const waiting = this.#waiting.get(ticket);
    if (!waiting) return;
    this.#waiting.delete(ticket);
    this.#world.events.cancel(waiting.timer);
    waiting.reply(reply);
  }

  #close(epoch: number): void {
    this.#wire.send(this.#frame(CLOSE_BYTES), () => this.#agent.closed(epoch));
  }

  #report(): void {
    const report = this.#gateway.report(this.#now());
    if (!report) return;
    const way = this.#world.way(this.#world.plant.coordinator, this.#frames++, LEGS.frame + 2);
    this.#world.events.after(way, () => this.#coordinator.report(report));
  }

  /** One way of a frame that is no request's. */
  #frame(bytes: number): number {
    return this.#world.way(this.#spec.link, this.#frames++, LEGS.frame + 1, bytes);
  }

  #hearBeat(): void {
    this.#gateway.heard(this.#beatAt);
  }

  #now(): number {
    return this.#world.clock(this.#clock);
  }
}
