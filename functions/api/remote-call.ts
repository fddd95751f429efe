/** A call of another machine for one request, as the driver of an attempt sees it: the seam between it and its legs. */
import type { AttemptAction, AttemptMachine } from "../../control/attempt.ts";

/** Something has happened: tells the machine, with the instant it was seen, and gives what is to be done about it. */
export type Event = (machine: AttemptMachine, now: number) => AttemptAction[];

/** A call of another machine. `ended` never rejects. */
export type RemoteCall = {
  ended: Promise<Event>;
  /** Its outcome is not wanted any more, or at once. */
  cancel(): void;
  /** Nobody waits any more. May be called at any time, more than once. */
  close(now: number): void;
};
