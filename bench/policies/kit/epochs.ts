/** What planners by epoch see: how often each user and each application asks, by a mean that fades. */
import type { Application } from "../../../protocol/application.ts";
import type { Offered, User } from "../../simulator/workload.ts";

/** EWMA over about a second, as Jellyfish and Proteus keep it per round. */
const FADE_MS = 1000;

type Rate = { perS: number; at: number };

export class Demand {
  readonly #users = new Map<User, Rate>();

  count({ user, atMs }: Offered): void {
    const rate = this.#users.get(user);
    const faded = rate ? rate.perS * Math.exp(-(atMs - rate.at) / FADE_MS) : 0;
    this.#users.set(user, { perS: faded + 1000 / FADE_MS, at: atMs });
  }

  /** Users heard of, with their requests a second as of `now`. */
  users(now: number): { user: User; perS: number }[] {
    return [...this.#users].map(([user, { perS, at }]) => ({ user, perS: perS * Math.exp(-(now - at) / FADE_MS) }));
  }

  applications(now: number): { application: Application; perS: number; deadlineMs: number }[] {
    const found = new Map<Application, { application: Application; perS: number; deadlineMs: number }>();
    for (const { user, perS } of this.users(now)) {
      const { application, deadlineMs } = user;
      const one = found.get(application) ?? { application, perS: 0, deadlineMs };
      one.perS += perS;
      one.deadlineMs = Math.min(one.deadlineMs, deadlineMs);
      found.set(application, one);
    }
    return [...found.values()];
  }
}
