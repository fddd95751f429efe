/**
 * The work a gateway has taken on for its node, and the decision to take it: the demand test on the model of the node
 * (node-model), who makes room for whom (fair-share), whether the node is well enough to be sent anything (breaker),
 * what is in flight (ledger), and the price that follows from what was offered (price).
 *
 * What leaves the ledger leaves the model, the breaker's trial and, where it was not done, its user's account with it.
 */
import type { NodeJob, NodeRegistration, RefusalCode } from "../protocol/fleet.ts";
import { MAX_DEADLINE_MS, MAX_FRAME_PAYLOAD_BYTES } from "../protocol/limits.ts";
import type { AnswerHeader, MessageOf } from "../protocol/node-messages.ts";
import { MAX_DIMENSIONS, startToWire } from "../protocol/node-messages.ts";
import type { NodeView } from "../protocol/plan.ts";
import { Breaker } from "./breaker.ts";
import { FairShare } from "./fair-share.ts";
import { Ledger, type Flight } from "./ledger.ts";
import { NodeModel, type Admission } from "./node-model.ts";
import { PROBE_EVERY_MS, worthProbing } from "./node-speed.ts";
import { candidates, fullRun, type RungWork } from "./node-work.ts";
import { boundsOf, nodeBounds, PriceLoop } from "./price.ts";

const NOBODY: ReadonlySet<string> = new Set();

/** A job that was taken, as it goes to the agent, and the flights that made room for it; or why it was not. */
export type Taken = { job: MessageOf<"job">; evicted: Flight[] };
export type NotTaken = { code: RefusalCode; detail?: string };

export class Intake {
  #ledger: Ledger;
  readonly #model: NodeModel;
  readonly #price: PriceLoop;
  readonly #shares = new FairShare();
  readonly #breaker = new Breaker();
  #offeredMs = 0;
  /** When a job was last sent although it was predicted late. */
  #triedAt = Number.NEGATIVE_INFINITY;

  /** `life`: how often the object was rebuilt under its connection. */
  constructor(registration: NodeRegistration | null, life: number) {
    this.#ledger = new Ledger(life);
    this.#model = new NodeModel(registration);
    this.#price = new PriceLoop(registration?.concurrency ?? 1, registration ? nodeBounds(registration) : boundsOf([]));
  }

  /** Jobs in flight. */
  get size(): number {
    return this.#ledger.size;
  }

  /** A new connection: sequences count anew. What was in flight must be lost before. */
  renumber(): void {
    this.#ledger = new Ledger(0);
  }

  /** The node said what it is; `busyMs`: work it still has from before. */
  register(registration: NodeRegistration, busyMs: number, now: number): void {
    this.#model.register(registration, busyMs, now);
    this.#price.configure(registration.concurrency, nodeBounds(registration));
  }

  /** The flight of that sequence; undefined when nobody waits for it any more. */
  flight(sequence: number): Flight | undefined {
    return this.#ledger.bySequence(sequence);
  }

  /** What a view says of the node's load. */
  load(now: number): Pick<NodeView, "price" | "slowdown" | "tail" | "backlogMs"> {
    return {
      price: this.#price.price(now),
      slowdown: this.#model.slowdown,
      tail: this.#model.tail(now),
      backlogMs: this.#model.backlogMs(now),
    };
  }

  /** Work offered since this was last asked, whether taken or not. */
  takeOfferedMs(): number {
    const offeredMs = this.#offeredMs;
    this.#offeredMs = 0;
    return offeredMs;
  }

  /** Takes a job for a node that is connected, if it can be made. */
  take(job: NodeJob, registration: NodeRegistration, now: number): Taken | NotTaken {
    if (this.#ledger.byTicket(job.ticket)) return { code: "bad_input", detail: "the ticket is in flight already" };
    const possible = candidates(registration, { ...job, from: job.start.from });
    const [wanted] = possible;
    if (!wanted) return { code: "unknown_application" };
    if (!this.#breaker.allows(now)) return { code: "unwell" };
    this.#offer(this.#model.predictedMs(wanted), this.#model.predictedMs(fullRun(registration, job.application)), now);
    const { bytes, shape } = job.start.from === "input" ? job.start.input : job.start.cut;
    if (bytes.byteLength > MAX_FRAME_PAYLOAD_BYTES || shape.length > MAX_DIMENSIONS) {
      return { code: "bad_input", detail: "the tensor does not fit a frame" };
    }

    const remainingMs = Math.min(job.remainingMs, MAX_DEADLINE_MS);
    const inTimeMs = remainingMs - this.#model.linkMs;
    const fits = (without: ReadonlySet<string>): boolean => this.#ledger.fits(bytes.byteLength, without);
    const admission =
      inTimeMs > 0 ? this.#model.admit(job.ticket, possible, now + inTimeMs, now, job.claim, this.#shares, fits) : null;
    if (admission) return this.#send(job, admission, inTimeMs, bytes.byteLength, now);
    if (!fits(NOBODY)) return { code: "busy" };
    const trial = this.#trial(job.ticket, possible.at(-1) ?? wanted, remainingMs, now);
    return trial ? this.#send(job, trial, remainingMs, bytes.byteLength, now) : { code: "too_late" };
  }

  answered(flight: Flight, answer: AnswerHeader, now: number): void {
    this.#model.learn(flight, { rung: answer.exit.exit, ...answer }, now);
    this.#breaker.answered();
    this.#ledger.remove(flight);
    this.#model.ended(flight, answer.backlogMs, now);
  }

  /** The agent refused the job, and holds `backlogMs` of work by its own account. */
  refused(flight: Flight, backlogMs: number, now: number): void {
    this.#breaker.ended(flight.id);
    this.#refund(flight, now);
    this.#ledger.remove(flight);
    this.#model.ended(flight, backlogMs, now);
  }

  /** Nobody waits for the ticket any more; undefined when nobody did. */
  drop(ticket: string, reason: "cancelled" | "expired", now: number): Flight | undefined {
    const flight = this.#ledger.byTicket(ticket);
    if (!flight) return undefined;
    this.#ledger.remove(flight);
    if (this.#model.dropped(flight, now)) this.#refund(flight, now);
    // A caller whose own timer was faster cancels: that, too, is time run out.
    if (reason === "expired" || now >= flight.deadlineAt) this.#breaker.timedOut(ticket, now);
    else this.#breaker.ended(ticket);
    return flight;
  }

  /** The connection is gone, and with it everything in flight: its tickets. */
  loseAll(now: number): string[] {
    const flights = this.#ledger.flights();
    for (const flight of flights) {
      this.#ledger.remove(flight);
      this.#refund(flight, now);
    }
    this.#model.reset();
    const tickets = flights.map(({ id }) => id);
    // One loss, however much was in flight: an agent that dies of what it is sent does so again and again.
    if (tickets[0] !== undefined) this.#breaker.timedOut(tickets[0], now);
    for (const ticket of tickets) this.#breaker.ended(ticket);
    return tickets;
  }

  #offer(ms: number, fullRunMs: number, now: number): void {
    this.#offeredMs += ms;
    this.#price.offer(ms, now, fullRunMs);
  }

  /** A lone job that only the estimates of slow-down and link call late is sent all the same, now and then. */
  #trial(ticket: string, lowest: RungWork, remainingMs: number, now: number): Admission | null {
    if (this.#ledger.size > 0 || !this.#model.idle(now)) return null;
    if (now - this.#triedAt < PROBE_EVERY_MS || !worthProbing(lowest, remainingMs)) return null;
    this.#triedAt = now;
    return this.#model.probe(ticket, lowest, now + remainingMs, now);
  }

  /** `remainingMs`: as the agent is told. */
  #send(job: NodeJob, admission: Admission, remainingMs: number, bytes: number, now: number): Taken {
    const { work, queued, lane, evicted } = admission;
    for (const victim of evicted) {
      this.#ledger.remove(victim);
      this.#model.dropped(victim, now);
      this.#breaker.ended(victim.id);
      this.#refund(victim, now);
    }
    const flight: Flight = {
      ...queued,
      sequence: this.#ledger.nextSequence(),
      application: job.application,
      from: job.start.from,
      rung: work.rung,
      minRung: job.minRung,
      sentAt: now,
      bytes,
      claim: job.claim,
      chargedMs: queued.workMs,
    };
    this.#ledger.add(flight);
    this.#breaker.sent(flight.id);
    this.#shares.charge(flight.claim, flight.chargedMs, now);
    this.#model.insert(flight, lane, now);
    const { header, payload } = startToWire({ ...job, rung: work.rung }, remainingMs);
    return { job: { kind: "job", sequence: flight.sequence, header, payload }, evicted };
  }

  /** Work that was not done is not held against its user. */
  #refund({ claim, chargedMs, sentAt }: Flight, now: number): void {
    this.#shares.refund(claim, chargedMs, sentAt, now);
  }
}
