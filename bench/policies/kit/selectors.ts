/** Selectors that several baselines use. */
import type { Choice, Job, Selector, Server } from "./server.ts";
import type { Work } from "./ladder-profile.ts";

/** The first in the queue at the rung that was chosen when it was sent, with as many alike as still end in time. */
export class FixedRungs implements Selector {
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  choose(server: Server, now: number): Choice {
    const head = server.queue[0] as Job;
    const work = chosen(server, head);
    return { work, jobs: server.inTime(head, work, this.#limit, now) };
  }
}

/** The work of a job whose rung was chosen; where the machine cannot run it, or none was chosen, the best it can. */
export function chosen(server: Server, job: Job): Work {
  const { application } = job.request.user;
  const work =
    (job.rung < 0 ? null : server.work(application, job.rung, job.from)) ??
    server.frontier(application, job.from).at(-1);
  if (!work) throw new RangeError(`${server.name} cannot run ${application.name}`);
  return work;
}

/** The deepest work of the head of the queue that fits `fitsMs` at its upper estimate; the quickest where none does. */
export function deepest(server: Server, head: Job, fits: (work: Work) => boolean): Work {
  const works = server.frontier(head.request.user.application, head.from);
  const work = works.findLast(fits) ?? works[0];
  if (!work) throw new RangeError(`${server.name} cannot run ${head.request.user.application.name}`);
  return work;
}
