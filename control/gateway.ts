/**
 * The gateway of one node, as a pure state machine: events in, effects out, time passed in. It keeps the one connection
 * that counts, finds out whether a node that has fallen silent still lives, and tells the coordinator; what work the
 * node is given is decided in intake.
 *
 * Guarantees, whatever the order of events: every ticket taken is settled exactly once (answered, refused or lost);
 * at most one connection counts, the one of the highest epoch, and nothing said by another changes anything.
 */
import type { GatewayReport, NodeJob, NodeRegistration, NodeReply, NodeState, RefusalCode } from "../protocol/fleet.ts";
import { REFUSALS } from "../protocol/fleet.ts";
import { CLOSE_REVOKED, CLOSE_SILENT, CLOSE_SUPERSEDED, closeReason } from "../protocol/frames.ts";
import type { ToAgent, ToGateway } from "../protocol/node-messages.ts";
import type { NodeView } from "../protocol/plan.ts";
import type { GatewayStatus } from "../protocol/services.ts";
import { Intake } from "./intake.ts";
import { HEARTBEAT_MS, LIFE_PROBE_MS, Liveness } from "./liveness.ts";

/** How often a connected node's registration is renewed at the coordinator, which forgets it after three of these by its own clock. */
export const RENEW_EVERY_MS = 30_000;
/** Loads go to the coordinator at most this often; changes of state go at once. */
export const REPORT_EVERY_MS = 1000;

/** What survives in storage. */
export type GatewayMemory = {
  node: string;
  epoch: number;
  registration: NodeRegistration | null;
  /** Certificates issued up to `at` are refused; `epoch` is that of the connection this ended. Null when none was revoked. */
  revoked: { at: number; epoch: number } | null;
};

/** What survives with the socket itself. `life` counts how often the object was rebuilt under it. */
export type GatewayLink = { epoch: number; life: number; connectedAt: number; ready: boolean; draining: boolean };

export type GatewayEffect =
  | { do: "send"; message: ToAgent }
  /** The job just submitted was not taken: its caller gets `reply` at once. */
  | { do: "refuse"; reply: NodeReply }
  /** A job was taken before: the caller waiting for `ticket` gets `reply`. */
  | { do: "settle"; ticket: string; reply: NodeReply }
  /** Close the socket of this epoch and those of earlier ones. */
  | { do: "close"; epoch: number; code: number; reason: string }
  /** `memory` or `link` has changed. */
  | { do: "save" }
  /** Tell the coordinator `report(now)`. */
  | { do: "report" }
  /** Call `tick` after this time. */
  | { do: "wake"; afterMs: number };

const EMPTY = new Uint8Array(0);

export class Gateway {
  readonly #name: string;
  #memory: GatewayMemory;
  #link: GatewayLink | null;
  #liveness: Liveness;
  #viewSeq = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #reportedState: NodeState | null = null;
  readonly #intake: Intake;

  /** `name`: the object's name. `link`: of a socket that outlived the object's memory. */
  constructor(name: string, memory: GatewayMemory, link: GatewayLink | null, now: number) {
    this.#name = name;
    this.#memory = memory;
    this.#link = link?.epoch === memory.epoch ? link : null;
    this.#liveness = new Liveness(link?.connectedAt ?? now);
    this.#intake = new Intake(memory.registration, this.#link?.life ?? 0);
  }

  get memory(): GatewayMemory {
    return this.#memory;
  }

  get link(): GatewayLink | null {
    return this.#link;
  }

  get inFlight(): number {
    return this.#intake.size;
  }

  /** The agent was alive at `at`: its last heartbeat, known from elsewhere. */
  heard(at: number): void {
    this.#liveness.heard(at);
  }

  /** May a connection with a certificate of this age be accepted? */
  accepts(certificateIssuedAt: number): boolean {
    return this.#memory.revoked === null || certificateIssuedAt > this.#memory.revoked.at;
  }

  /** A verified connection of `node` was accepted. It fences every earlier one; its epoch is `memory.epoch` from now on. */
  connect(node: string, now: number): GatewayEffect[] {
    const effects: GatewayEffect[] = this.#link
      ? [
          {
            do: "close",
            epoch: this.#memory.epoch,
            code: CLOSE_SUPERSEDED,
            reason: "a newer connection of this node took over",
          },
        ]
      : [];
    effects.push(...this.#loseAll("superseded", now));
    this.#memory = { ...this.#memory, node, epoch: this.#memory.epoch + 1 };
    this.#link = { epoch: this.#memory.epoch, life: 0, connectedAt: now, ready: false, draining: false };
    this.#liveness = new Liveness(now);
    this.#intake.renumber();
    return [...effects, { do: "save" }];
  }

  /** A message from the connection of `epoch`. */
  receive(epoch: number, message: ToGateway, now: number): GatewayEffect[] {
    const link = this.#link;
    if (link?.epoch !== epoch) return [];
    this.heard(now);
    if (message.kind === "hello") return this.#hello(link, message, now);
    if (!link.ready) return this.violation(epoch, 1008, `${message.kind} before hello`, now);
    if (message.kind === "alive") return this.#reportIfDue(now);
    if (message.kind === "drain") {
      this.#link = { ...link, draining: true };
      const acknowledged: ToAgent = { ...message, header: { reason: "acknowledged" } };
      return [{ do: "save" }, { do: "send", message: acknowledged }, ...this.#reportIfDue(now)];
    }
    const flight = this.#intake.flight(message.sequence);
    // Cancelled, expired, or from before the object lost its memory: nobody waits for it.
    if (!flight) return [];
    if (message.kind === "refusal") {
      const { code, detail, backlogMs } = message.header;
      this.#intake.refused(flight, backlogMs, now);
      const reply = this.#refusal(code, now, detail);
      return [{ do: "settle", ticket: flight.id, reply }, ...this.#reportIfDue(now)];
    }
    const { exit, queueMs, computeMs, batch } = message.header;
    if (exit.exit < flight.minRung || exit.exit > flight.rung) {
      const why = `the answer is of rung ${exit.exit}, not ${flight.minRung} to ${flight.rung}`;
      return this.violation(epoch, 1008, why, now);
    }
    this.#intake.answered(flight, message.header, now);
    const reply: NodeReply = { kind: "answer", exit, queueMs, computeMs, batch, view: this.#view(now) };
    return [{ do: "settle", ticket: flight.id, reply }, ...this.#reportIfDue(now)];
  }

  /** The connection of `epoch` broke the protocol: it is closed, and counts as closed from now on. */
  violation(epoch: number, code: number, why: string, now: number): GatewayEffect[] {
    const close: GatewayEffect = { do: "close", epoch, code, reason: closeReason(why) };
    return [close, ...this.closed(epoch, now)];
  }

  /** The connection of `epoch` is gone. */
  closed(epoch: number, now: number): GatewayEffect[] {
    if (epoch !== this.#memory.epoch) return [];
    this.#link = null;
    return [...this.#loseAll("disconnected", now), ...this.#reportIfDue(now)];
  }

  /**
   * Takes a job (`send`) or not (`refuse`); work that makes room for it is cancelled and settled first. Whoever calls
   * sees to it that `expire` follows when a job's time is up.
   */
  submit(job: NodeJob, now: number): GatewayEffect[] {
    return [...this.#vitals(now), ...this.#take(job, now), ...this.#reportIfDue(now)];
  }

  /** Nobody waits for the ticket any more. Unknown tickets are no error: the answer may have been faster. */
  cancel(ticket: string, now: number): GatewayEffect[] {
    return this.#drop(ticket, "cancelled", now);
  }

  /** The ticket's remaining time has passed. */
  expire(ticket: string, now: number): GatewayEffect[] {
    return [...this.#drop(ticket, "expired", now), ...this.#vitals(now), ...this.#reportIfDue(now)];
  }

  /** Some time has passed: does the node still live? To be called when a `wake` is due; at any other time it does no harm. */
  tick(now: number): GatewayEffect[] {
    return [...this.#vitals(now), ...this.#reportIfDue(now)];
  }

  /** To be called every RENEW_EVERY_MS while there is a connection: the coordinator's registration of the node is a lease. */
  renew(now: number): GatewayEffect[] {
    return [...this.#vitals(now), ...this.#reportNow(now)];
  }

  /** Closes the connection, refuses every certificate issued up to now, and forgets what the node said of itself. */
  revoke(now: number): GatewayEffect[] {
    const epoch = this.#memory.epoch;
    this.#memory = { ...this.#memory, registration: null, revoked: { at: now, epoch } };
    const close: GatewayEffect = {
      do: "close",
      epoch,
      code: CLOSE_REVOKED,
      reason: "the node's certificate was revoked",
    };
    this.#link = null;
    return [close, ...this.#loseAll("disconnected", now), { do: "save" }];
  }

  status(now: number): GatewayStatus {
    return {
      node: this.#memory.registration ? this.#memory.node : null,
      epoch: this.#memory.epoch,
      connected: this.#link?.ready ?? false,
      draining: this.#link?.draining ?? false,
      revoked: this.#memory.revoked?.epoch === this.#memory.epoch,
      inFlight: this.#intake.size,
      lastSeenAgeMs: this.#link ? this.#liveness.ageMs(now) : null,
    };
  }

  /** What to tell the coordinator; null before the node has ever said what it is. Counts offered work from here anew. */
  report(now: number): GatewayReport | null {
    const { node, registration } = this.#memory;
    if (!registration) return null;
    const offeredMs = this.#intake.takeOfferedMs();
    return { node, gateway: this.#name, state: this.#state(now), registration, load: this.#view(now), offeredMs };
  }

  #hello(link: GatewayLink, message: Extract<ToGateway, { kind: "hello" }>, now: number): GatewayEffect[] {
    if (link.ready) return this.violation(link.epoch, 1008, "hello was said before", now);
    const { registration, busyMs } = message.header;
    this.#memory = { ...this.#memory, registration };
    this.#link = { ...link, ready: true };
    this.#intake.register(registration, busyMs, now);
    const header = { node: this.#memory.node, epoch: link.epoch, heartbeatMs: HEARTBEAT_MS };
    const welcome: ToAgent = { kind: "welcome", sequence: 0, header, payload: EMPTY };
    return [{ do: "save" }, { do: "send", message: welcome }, ...this.#reportNow(now)];
  }

  /** A node that has missed its beats is asked once for a sign of life, and given up when that does not come. */
  #vitals(now: number): GatewayEffect[] {
    const link = this.#link;
    if (!link?.ready) return [];
    const verdict = this.#liveness.check(now);
    if (verdict === "nothing") return [];
    if (verdict === "ask") {
      return [
        { do: "send", message: { kind: "probe", sequence: 0, header: {}, payload: EMPTY } },
        { do: "wake", afterMs: LIFE_PROBE_MS },
      ];
    }
    return this.violation(link.epoch, CLOSE_SILENT, "the node gave no sign of life", now);
  }

  #take(job: NodeJob, now: number): GatewayEffect[] {
    const refuse = (code: RefusalCode, detail?: string): GatewayEffect[] => [
      { do: "refuse", reply: this.#refusal(code, now, detail) },
    ];
    const { registration } = this.#memory;
    if (!this.#link?.ready || !registration) return refuse("not_connected");
    if (this.#liveness.silent(now)) return refuse("silent");
    if (this.#link.draining) return refuse("draining");
    const taken = this.#intake.take(job, registration, now);
    if ("code" in taken) return refuse(taken.code, taken.detail);
    const evictions = taken.evicted.flatMap(({ id, sequence }): GatewayEffect[] => [
      cancelOf(sequence),
      { do: "settle", ticket: id, reply: this.#refusal("evicted", now) },
    ]);
    return [...evictions, { do: "send", message: taken.job }];
  }

  #drop(ticket: string, reason: "cancelled" | "expired", now: number): GatewayEffect[] {
    const flight = this.#intake.drop(ticket, reason, now);
    if (!flight) return [];
    return [
      { do: "settle", ticket, reply: { kind: "lost", reason, view: this.#view(now) } },
      cancelOf(flight.sequence),
    ];
  }

  #loseAll(reason: "disconnected" | "superseded", now: number): GatewayEffect[] {
    const tickets = this.#intake.loseAll(now);
    return tickets.map((ticket) => ({ do: "settle", ticket, reply: { kind: "lost", reason, view: this.#view(now) } }));
  }

  #state(now: number): NodeState {
    if (!this.#link?.ready || this.#liveness.silent(now)) return "offline";
    return this.#link.draining ? "draining" : "online";
  }

  #refusal(code: RefusalCode, now: number, detail: string = REFUSALS[code]): NodeReply {
    return { kind: "refused", code, detail, view: this.#view(now) };
  }

  /** Numbered by wall time where that has moved on, so that the numbers go on rising when memory is lost. */
  #view(now: number): NodeView {
    this.#viewSeq = Math.max(this.#viewSeq + 1, Math.floor(now));
    return {
      node: this.#memory.node,
      epoch: this.#memory.epoch,
      seq: this.#viewSeq,
      ...this.#intake.load(now),
      ageMs: 0,
    };
  }

  #reportIfDue(now: number): GatewayEffect[] {
    const due = now - this.#reportedAt >= REPORT_EVERY_MS;
    return due || this.#state(now) !== this.#reportedState ? this.#reportNow(now) : [];
  }

  #reportNow(now: number): GatewayEffect[] {
    this.#reportedAt = now;
    this.#reportedState = this.#state(now);
    return this.#memory.registration ? [{ do: "report" }] : [];
  }
}

function cancelOf(sequence: number): GatewayEffect {
  return { do: "send", message: { kind: "cancel", sequence, header: {}, payload: EMPTY } };
}
