/** What this isolate knows of its own thread, and the refusal that follows from it (control/front-load). */
import { FrontLoad } from "../../control/front-load.ts";
import { DystriError } from "../../protocol/errors.ts";

const RETRY_AFTER_MS = 1000;

const load = new FrontLoad();

/** A controller's answer has come, asked for at `askedAt`. */
export function answered(controller: string, askedAt: number, now: number): void {
  load.answered(controller, now - askedAt, now);
}

/** Call once for each request, as soon as its deadline is known. Throws DystriError overloaded when it had better not begin. */
export function admit(controller: string, deadlineMs: number, now: number): void {
  if (load.admits(controller, deadlineMs, now)) return;
  const lagMs = Math.ceil(load.lagMs(now));
  throw new DystriError("overloaded", `the front itself is busy: each of a request's steps waits ${lagMs} ms there`, {
    deadlineMs,
    retryAfterMs: RETRY_AFTER_MS,
    hint: "try again later, or with a longer deadline",
  });
}
