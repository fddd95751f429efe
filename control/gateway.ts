/**
 * The gateway of one node, as a pure state machine: events in, effects out, time passed in. It alone admits work for
 * its node, on its model of what the node is doing (node-model), and holds what is in flight (ledger).
 *
 * Guarantees, whatever the order of events: every ticket taken is settled exactly once (answered, refused or lost);
 * at most one connection counts, the one of the highest epoch, and nothing said by another changes anything; what
 * leaves the ledger leaves the model with it.
 */
import type { GatewayReport, NodeJob, NodeRegistration, NodeReply, NodeState, RefusalCode } from "../protocol/fleet.ts";
import { REFUSALS } from "../protocol/fleet.ts";
import { CLOSE_REVOKED, CLOSE_SUPERSEDED, closeReason } from "../protocol/frames.ts";
import { MAX_DEADLINE_MS, MAX_FRAME_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { ToAgent, ToGateway } from "../protocol/node-messages.ts";
import { MAX_DIMENSIONS, startToWire } from "../protocol/node-messages.ts";
import type { NodeView } from "../protocol/plan.ts";
import type { GatewayStatus } from "../protocol/services.ts";
import { Ledger, type Flight } from "./ledger.ts";
import { NodeModel } from "./node-model.ts";
import { candidates } from "./node-work.ts";

export const HEARTBEAT_MS = 1000;
/** Three missed beats. */
export const SILENT_AFTER_MS = 3 * HEARTBEAT_MS;
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
  | { do: "report" };

export class Gateway {
  readonly #name: string;
  #memory: GatewayMemory;
  #link: GatewayLink | null;
  #heardAt: number;
  #viewSeq = 0;
  #offeredMs = 0;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #reportedState: NodeState | null = null;
  #ledger: Ledger;
  readonly #model: NodeModel;

  /** `name`: the object's name. `link`: of a socket that outlived the object's memory. */
  constructor(name: string, memory: GatewayMemory, link: GatewayLink | null, now: number) {
    this.#name = name;
    this.#memory = memory;
    this.#link = link?.epoch === memory.epoch ? link : null;
    this.#heardAt = link?.connectedAt ?? now;
    this.#ledger = new Ledger(this.#link?.life ?? 0);
    this.#model = new NodeModel(memory.registration);
  }

  get memory(): GatewayMemory {
    return this.#memory;
  }

  get link(): GatewayLink | null {
    return this.#link;
  }

  get inFlight(): number {
    return this.#ledger.size;
  }

  /** The agent was alive at `at`: its last heartbeat, known from elsewhere. */
  heard(at: number): void {
    this.#heardAt = Math.max(this.#heardAt, at);
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
    this.#heardAt = now;
    this.#ledger = new Ledger(0);
    return [...effects, { do: "save" }];
  }

  /** A message from the connection of `epoch`. */
  receive(epoch: number, message: ToGateway, now: number): GatewayEffect[] {
    const link = this.#link;
    if (link?.epoch !== epoch) return [];
    this.heard(now);
    if (message.kind === "hello") return this.#hello(link, message, now);
    if (!link.ready) return this.violation(epoch, 1008, `${message.kind} before hello`, now);
    if (message.kind === "drain") {
      this.#link = { ...link, draining: true };
      const acknowledged: ToAgent = { ...message, header: { reason: "acknowledged" } };
      return [{ do: "save" }, { do: "send", message: acknowledged }, ...this.#reportIfDue(now)];
    }
    const flight = this.#ledger.bySequence(message.sequence);
    // Cancelled, expired, or from before the object lost its memory: nobody waits for it.
    if (!flight) return [];
    if (message.kind === "answer") {
      const { exit } = message.header.exit;
      if (exit < flight.minRung || exit > flight.rung) {
        return this.violation(
          epoch,
          1008,
          `the answer is of rung ${exit}, not ${flight.minRung} to ${flight.rung}`,
          now,
        );
      }
      this.#model.learn(flight, { rung: exit, ...message.header }, now);
    }
    this.#ledger.remove(flight);
    this.#model.ended(flight, message.header.backlogMs, now);
    const view = this.#view(now);
    const reply: NodeReply =
      message.kind === "answer"
        ? {
            kind: "answer",
            exit: message.header.exit,
            queueMs: message.header.queueMs,
            computeMs: message.header.computeMs,
            view,
          }
        : { kind: "refused", code: message.header.code, detail: message.header.detail, view };
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

  /** Takes a job (`send`) or not (`refuse`). Whoever calls sees to it that `expire` follows when a job's time is up. */
  submit(job: NodeJob, now: number): GatewayEffect[] {
    const taken = this.#take(job, now);
    const effect: GatewayEffect =
      "code" in taken ? { do: "refuse", reply: this.#refusal(taken.code, now, taken.detail) } : taken;
    return [effect, ...this.#reportIfDue(now)];
  }

  /** Nobody waits for the ticket any more. Unknown tickets are no error: the answer may have been faster. */
  cancel(ticket: string, now: number): GatewayEffect[] {
    return this.#drop(ticket, "cancelled", now);
  }

  /** The ticket's remaining time has passed. */
  expire(ticket: string, now: number): GatewayEffect[] {
    return this.#drop(ticket, "expired", now);
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
      inFlight: this.#ledger.size,
      lastSeenAgeMs: this.#link ? Math.max(0, now - this.#heardAt) : null,
    };
  }

  /** What to tell the coordinator; null before the node has ever said what it is. Counts offered work from here anew. */
  report(now: number): GatewayReport | null {
    const { node, registration } = this.#memory;
    if (!registration) return null;
    const offeredMs = this.#offeredMs;
    this.#offeredMs = 0;
    return { node, gateway: this.#name, state: this.#state(now), registration, load: this.#view(now), offeredMs };
  }

  #hello(link: GatewayLink, message: Extract<ToGateway, { kind: "hello" }>, now: number): GatewayEffect[] {
    if (link.ready) return this.violation(link.epoch, 1008, "hello was said before", now);
    const { registration, busyMs } = message.header;
    this.#memory = { ...this.#memory, registration };
    this.#link = { ...link, ready: true };
    this.#model.register(registration, busyMs, now);
    const header = { node: this.#memory.node, epoch: link.epoch, heartbeatMs: HEARTBEAT_MS };
    const welcome: ToAgent = { kind: "welcome", sequence: 0, header, payload: new Uint8Array(0) };
    return [{ do: "save" }, { do: "send", message: welcome }, ...this.#reportNow(now)];
  }

  #take(job: NodeJob, now: number): Extract<GatewayEffect, { do: "send" }> | { code: RefusalCode; detail?: string } {
    const registration = this.#memory.registration;
    const link = this.#link;
    if (!link?.ready || !registration) return { code: "not_connected" };
    if (now - this.#heardAt > SILENT_AFTER_MS) return { code: "silent" };
    if (link.draining) return { code: "draining" };
    if (this.#ledger.byTicket(job.ticket)) return { code: "bad_input", detail: "the ticket is in flight already" };
    const possible = candidates(registration, { ...job, from: job.start.from });
    const [wanted] = possible;
    if (!wanted) return { code: "unknown_application" };
    this.#offeredMs += this.#model.predictedMs(wanted);
    const { bytes, shape } = job.start.from === "input" ? job.start.input : job.start.cut;
    if (bytes.byteLength > MAX_FRAME_PAYLOAD_BYTES || shape.length > MAX_DIMENSIONS) {
      return { code: "bad_input", detail: "the tensor does not fit a frame" };
    }
    if (!this.#ledger.fits(bytes.byteLength)) return { code: "busy" };

    const remainingMs = Math.min(job.remainingMs, MAX_DEADLINE_MS) - this.#model.linkMs;
    const deadlineAt = now + remainingMs;
    const admitted = remainingMs > 0 ? this.#model.admit(job.ticket, possible, deadlineAt, now) : null;
    if (!admitted) return { code: "too_late" };
    const { work, lane } = admitted;
    const flight: Flight = {
      id: job.ticket,
      deadlineAt,
      workMs: this.#model.predictedMs(work),
      sequence: this.#ledger.nextSequence(),
      application: job.application,
      from: job.start.from,
      rung: work.rung,
      minRung: job.minRung,
      sentAt: now,
      bytes: bytes.byteLength,
    };
    this.#ledger.add(flight);
    this.#model.insert(flight, lane, now);
    const { header, payload } = startToWire({ ...job, rung: work.rung }, remainingMs);
    return { do: "send", message: { kind: "job", sequence: flight.sequence, header, payload } };
  }

  #drop(ticket: string, reason: "cancelled" | "expired", now: number): GatewayEffect[] {
    const flight = this.#ledger.byTicket(ticket);
    if (!flight) return [];
    this.#ledger.remove(flight);
    this.#model.dropped(flight, now);
    const cancel: ToAgent = { kind: "cancel", sequence: flight.sequence, header: {}, payload: new Uint8Array(0) };
    return [
      { do: "settle", ticket, reply: { kind: "lost", reason, view: this.#view(now) } },
      { do: "send", message: cancel },
    ];
  }

  #loseAll(reason: "disconnected" | "superseded", now: number): GatewayEffect[] {
    const tickets = this.#ledger.tickets();
    for (const ticket of tickets) this.#ledger.remove(this.#ledger.byTicket(ticket) as Flight);
    this.#model.reset();
    return tickets.map((ticket) => ({ do: "settle", ticket, reply: { kind: "lost", reason, view: this.#view(now) } }));
  }

  #state(now: number): NodeState {
    if (!this.#link?.ready || now - this.#heardAt > SILENT_AFTER_MS) return "offline";
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
      price: 0,
      slowdown: this.#model.slowdown,
      backlogMs: this.#model.backlogMs(now),
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
