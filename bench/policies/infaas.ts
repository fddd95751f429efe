/**
 * INFaaS (ATC 2021; EVALUATION §5.3) and INFaaS-accuracy as later papers use it. At arrival: of the (machine kind, rung)
 * pairs that meet the accuracy floor, are healthy and fit the time left by profile, INFaaS takes the slowest, the
 * accuracy variant the best; the replica is drawn from the three with the least load. It looks at no queue, drops
 * nothing and serves late. Health is judged once a second from each pair's own latencies and backlog. All rungs are
 * loaded, so that its scaling of replicas has nothing to do.
 */
import type { Application } from "../../protocol/application.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import type { Batch, Choice, Job, Selector, Server } from "./kit/server.ts";
import type { Work } from "./kit/ladder-profile.ts";
import { FixedRungs } from "./kit/selectors.ts";
import { Serving, type Ask, type Known, type Route, type ServingOptions } from "./kit/serving.ts";

export type InfaasParameters = {
  choose: "slowest" | "most accurate";
  /** Least share of the best rung's accuracy. */
  floor: number;
  limit: number;
};

/** Unhealthy above `late` times the profile at more than `busy` of the rate, or above `backlog` times what a second serves. */
const HEALTH = { late: 2.5, busy: 0.5, backlog: 0.8, clear: 1.5 };
const CHECK_MS = 1000;

type Book = { work: Work; outstanding: number; count: number; sumMs: number; healthy: boolean };

class Counting implements Selector {
  readonly #inner: FixedRungs;
  readonly ended: (server: Server, batch: Batch, tookMs: number, now: number) => void;

  constructor(limit: number, ended: Counting["ended"]) {
    this.#inner = new FixedRungs(limit);
    this.ended = ended;
  }

  choose(server: Server, now: number): Choice {
    return this.#inner.choose(server, now);
  }
}

class Infaas extends Serving {
  readonly #parameters: InfaasParameters;
  readonly #books = new Map<Server, Map<Application, Map<number, Book>>>();
  #checkedAt = 0;

  constructor(world: World, options: ServingOptions, parameters: InfaasParameters) {
    super(
      world,
      options,
      new Counting(parameters.limit, (server, { jobs, work }, _, now) => {
        for (const job of jobs) this.#told(server, job, work, now);
      }),
    );
    this.#parameters = parameters;
  }

  protected route(ask: Ask): Route {
    const { request } = ask.task;
    const { application } = request.user;
    this.#check();
    const edge = this.edgeOf(request);
    const best = Math.max(...application.rungs.map(({ quality }) => quality.validation));
    const all: { known: Known; book: Book; ms: number }[] = [];
    for (const known of edge ? [...this.nodes, edge] : this.nodes) {
      for (const work of known.server.frontier(application)) {
        const book = this.#book(known.server, application, work);
        all.push({ known, book, ms: known.server.upperMs(work, 1) });
      }
    }
    const able = all.filter(
      ({ known, book, ms }) =>
        book.healthy && book.work.accuracy >= this.#parameters.floor * best && ms <= this.machineMs(known, ask),
    );
    const slowest = this.#parameters.choose === "slowest";
    // With nothing able, the accuracy variant runs the best it has late; the original refuses.
    const from = able.length > 0 || slowest ? able : all;
    const most = from.reduce((top, { book, ms }) => Math.max(top, slowest ? ms : book.work.accuracy), 0);
    const tied = from
      .filter(({ book, ms }) => (slowest ? ms >= 0.999 * most : book.work.accuracy >= most))
      .sort((a, b) => this.waitMs(a.known) - this.waitMs(b.known));
    const replica = slowest ? tied[this.random.below(Math.min(3, tied.length))] : tied[0];
    if (!replica) return null;
    replica.book.outstanding++;
    return { known: replica.known, rung: replica.book.work.rung };
  }

  #told(server: Server, job: Job, work: Work, now: number): void {
    const book = this.#book(server, job.request.user.application, work);
    book.outstanding = Math.max(0, book.outstanding - 1);
    book.count++;
    book.sumMs += now - job.arrivedAt;
  }

  #check(): void {
    const { now } = this.world.events;
    if (now - this.#checkedAt < CHECK_MS) return;
    const seconds = (now - this.#checkedAt) / 1000;
    this.#checkedAt = now;
    for (const [server, applications] of this.#books) {
      for (const books of applications.values()) {
        for (const book of books.values()) {
          const profileMs = server.meanMs(book.work, 1);
          const latency = book.count > 0 ? book.sumMs / book.count / profileMs : 0;
          const perS = book.count / seconds;
          const late = latency > HEALTH.late && perS > (1000 * HEALTH.busy) / profileMs;
          const full = book.outstanding > (HEALTH.backlog * 1000) / profileMs;
          if (late || full) book.healthy = false;
          else if (latency < HEALTH.clear) book.healthy = true;
          [book.count, book.sumMs] = [0, 0];
        }
      }
    }
  }

  #book(server: Server, application: Application, work: Work): Book {
    const applications = this.#books.get(server) ?? new Map<Application, Map<number, Book>>();
    this.#books.set(server, applications);
    const books = applications.get(application) ?? new Map<number, Book>();
    applications.set(application, books);
    const book = books.get(work.rung) ?? { work, outstanding: 0, count: 0, sumMs: 0, healthy: true };
    books.set(work.rung, book);
    return book;
  }
}

export const infaas =
  (parameters: InfaasParameters, options: ServingOptions): PolicyOf =>
  (world) =>
    new Infaas(world, options, parameters);
