/** The one clock of an isolate, chosen by the Worker's variable DYSTRI_CLOCK. */
import { IoClock, SystemClock, type Clock } from "../protocol/clock.ts";

let clock: Clock | undefined;

/** The isolate's clock: made at the first call, the same for all requests. */
export function clockOf(env: { DYSTRI_CLOCK: string }): Clock {
  return (clock ??= env.DYSTRI_CLOCK === "io" ? new IoClock() : new SystemClock());
}
