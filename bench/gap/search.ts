/**
 * A good schedule for known requests on machines that neither split nor interrupt work, by ruin and recreate (Schrimpf et al.,
 * J. Comput. Phys. 159, 2000): the requests of a short time are taken out and put back in another order at other prices
 * of the machines' time, and what is no worse stays. What is found can be done by who knows everything beforehand; that
 * nothing better exists is not shown. Deterministic from its seed.
 */
import { Random } from "../simulator/random.ts";
import type { Chain, ChainProblem, Clock } from "./chains.ts";
import { Timeline } from "./timeline.ts";

/** How often each request is taken out on average; more finds little more. */
const TURNS = 60;
/** Requests taken out together, and the time they come from. */
const MOST_TOGETHER = 24;
const TOGETHER_MS = { least: 30, most: 300 };
/** What a millisecond of a shared machine may cost while requests are put back, in right answers; or nothing. */
const PRICES = { least: 0.0005, most: 0.2, free: 0.25 };
/** The same while requests are placed as they arrive. */
const STEADY_PRICES = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016];

/** `value`: of the chains placed; null: the request is not served. `starts`: of its pieces, on their machines' own clocks. */
export type Placed = { chain: Chain; starts: number[] } | null;

export type Schedule = { value: number; placed: readonly Placed[] };

/** Each request for good, as it arrives, where those before it have left room; at the one price that turns out best. */
export function placeAsTheyArrive(problem: ChainProblem): Schedule {
  return best(problem, 0).schedule;
}

/** `turns`: how often each request is taken out on average. */
export function search(problem: ChainProblem, seed: number, turns = TURNS): Schedule {
  const searcher = best(problem, seed);
  const rounds = Math.ceil((turns * problem.requests.length) / (MOST_TOGETHER / 2));
  for (let i = 0; i < rounds; i++) searcher.turn();
  return searcher.schedule;
}

/** Of the prices, the one at which requests placed as they arrive are worth most. */
function best(problem: ChainProblem, seed: number): Searcher {
  const tried = STEADY_PRICES.map((price) => {
    const searcher = new Searcher(problem, seed);
    searcher.begin(price);
    return searcher;
  });
  return tried.reduce((a, b) => (b.schedule.value > a.schedule.value ? b : a));
}

class Searcher {
  readonly #requests: ChainProblem["requests"];
  readonly #clocks: readonly Clock[];
  readonly #timelines: readonly Timeline[];
  readonly #placed: Placed[];
  readonly #random: Random;
  /** Requests in the order they come. */
  readonly #order: number[];

  constructor({ requests, clocks }: ChainProblem, seed: number) {
    this.#requests = requests;
    this.#clocks = clocks;
    this.#timelines = clocks.map(() => new Timeline());
    this.#placed = requests.map(() => null);
    this.#random = new Random(seed, "schedule");
    this.#order = [...requests.keys()].sort((a, b) => this.#arrivalAt(a) - this.#arrivalAt(b));
  }

  get schedule(): Schedule {
    return { value: this.#valueOf(this.#order), placed: this.#placed };
  }

  begin(price: number): void {
    for (const request of this.#order) this.#put(request, price);
  }

  turn(): void {
    const taken = this.#neighbours();
    const before = taken.map((request) => this.#placed[request] as Placed);
    const valueBefore = this.#valueOf(taken);
    for (const request of taken) this.#take(request);
    const price = this.#price();
    const order = this.#shuffled(taken);
    // To each a little dearer or cheaper: what is best together need not be best at one price.
    for (const request of order) this.#put(request, 2 * this.#random.uniform() * price);
    // What the price has left free goes to whoever gains by it.
    for (const request of order) this.#improve(request);
    if (this.#valueOf(taken) >= valueBefore) return;
    for (const request of taken) this.#take(request);
    taken.forEach((request, i) => this.#place(request, before[i] as Placed));
  }

  /** Requests that come within a short time of one another. */
  #neighbours(): number[] {
    const { least, most } = TOGETHER_MS;
    const first = this.#random.below(this.#order.length);
    const untilAt = this.#arrivalAt(this.#order[first] as number) + least * (most / least) ** this.#random.uniform();
    const found: number[] = [];
    for (let i = first; i < this.#order.length && found.length < MOST_TOGETHER; i++) {
      const request = this.#order[i] as number;
      if (this.#arrivalAt(request) > untilAt) break;
      found.push(request);
    }
    return found;
  }

  #price(): number {
    const { least, most, free } = PRICES;
    return this.#random.uniform() < free ? 0 : least * (most / least) ** this.#random.uniform();
  }

  /** By arrival, by who has least to be done, or by chance. */
  #shuffled(requests: readonly number[]): number[] {
    const kind = this.#random.below(3);
    const keys = new Map(
      requests.map((request) => {
        const noise = this.#random.uniform();
        if (kind === 0) return [request, this.#arrivalAt(request) + TOGETHER_MS.least * noise];
        if (kind === 1) return [request, noise];
        const chains = this.#requests[request]?.chains ?? [];
        return [request, (0.5 + noise) * Math.min(...chains.map(({ sharedMs }) => sharedMs))];
      }),
    );
    return [...requests].sort((a, b) => (keys.get(a) as number) - (keys.get(b) as number));
  }

  /** The chain worth most at this price that finds room, each piece as early as it can be. */
  #put(request: number, price: number): void {
    const chains = this.#requests[request]?.chains ?? [];
    const worth = ({ value, sharedMs }: Chain): number => value - price * sharedMs;
    for (const chain of [...chains].sort((a, b) => worth(b) - worth(a))) {
      if (worth(chain) <= 0) return;
      const starts = this.#room(request, chain);
      if (starts) return this.#place(request, { chain, starts });
    }
  }

  #improve(request: number): void {
    const own = this.#placed[request] as Placed;
    this.#take(request);
    this.#put(request, 0);
    const now = this.#placed[request] as Placed;
    if ((now?.chain.value ?? 0) >= (own?.chain.value ?? 0)) return;
    this.#take(request);
    this.#place(request, own);
  }

  #room(request: number, { pieces }: Chain): number[] | null {
    const starts: number[] = [];
    let at = this.#arrivalAt(request);
    for (const { resource, releaseAt, dueAt, workMs, delayMs } of pieces) {
      const clock = this.#clocks[resource] as Clock;
      const fromAt = starts.length === 0 ? releaseAt : Math.max(releaseAt, clock.own(at + delayMs));
      const start = (this.#timelines[resource] as Timeline).earliest(fromAt, workMs, dueAt);
      if (start === null) return null;
      starts.push(start);
      at = clock.real(start + workMs);
    }
    return starts;
  }

  #place(request: number, placed: Placed): void {
    this.#placed[request] = placed;
    placed?.chain.pieces.forEach(({ resource, workMs }, i) => {
      (this.#timelines[resource] as Timeline).add(placed.starts[i] as number, workMs);
    });
  }

  #take(request: number): void {
    const placed = this.#placed[request] as Placed;
    placed?.chain.pieces.forEach(({ resource }, i) => {
      (this.#timelines[resource] as Timeline).remove(placed.starts[i] as number);
    });
    this.#placed[request] = null;
  }

  #valueOf(requests: readonly number[]): number {
    return requests.reduce((sum, request) => sum + (this.#placed[request]?.chain.value ?? 0), 0);
  }

  #arrivalAt(request: number): number {
    return this.#requests[request]?.arrivalAt ?? 0;
  }
}
