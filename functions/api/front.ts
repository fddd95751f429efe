/** What this isolate knows of its own thread, and what follows from it: a price, and refusals (control/front-load). */
import { FrontLoad } from "../../control/front-load.ts";
import { oncePer } from "../../control/once.ts";
import { edgeBounds } from "../../control/price.ts";
import type { Application } from "../../protocol/application.ts";
import type { Clock } from "../../protocol/clock.ts";
import { DystriError } from "../../protocol/errors.ts";

const RETRY_AFTER_MS = 1000;

/** The request's own: the timer is one of its, and it is kept until that has fired. */
type Arrival = { clock: Clock; waitUntil: (work: Promise<unknown>) => void };

const load = new FrontLoad();
/** Requests that are being served. */
let present = 0;

const highestPrice = oncePer((application: Application) => edgeBounds([application]).maxPrice);

/** Call once for each request, as soon as its deadline is known. Throws DystriError overloaded when it had better not begin. */
export function admit({ clock, waitUntil }: Arrival, controller: string, deadlineMs: number): void {
  const now = clock.now();
  // Alone it waits for nobody, and a timer enters the isolate once more.
  if (present > 0 && load.wantsTimer(now)) waitUntil(pass().then(() => load.passed(clock.arrive())));
  if (load.admits(controller, deadlineMs, now)) return;
  const lagMs = Math.ceil(load.lagMs(now));
  throw new DystriError("overloaded", `the front itself is busy: what arrives waits ${lagMs} ms for its thread`, {
    deadlineMs,
    retryAfterMs: RETRY_AFTER_MS,
    hint: "try again later, or with a longer deadline",
  });
}

/** Call when a request begins to be served, and the result once it is over. */
export function enter(): () => void {
  present++;
  return () => void present--;
}

/** Of a millisecond of this thread, in accuracy; 0 while there is enough of it. */
export function threadPrice(application: Application, now: number): number {
  return load.dearness(now) * highestPrice(application);
}

/** Settles when everything that has arrived so far has been worked off. */
const pass = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 0));
