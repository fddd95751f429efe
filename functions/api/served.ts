/** What every inference route asks for and gets back, whatever its wire format: the seam between surfaces and serving. */
import type { AttemptAnswer } from "../../control/attempt-record.ts";
import type { Application } from "../../protocol/application.ts";
import type { Clock } from "../../protocol/clock.ts";
import type { Weighed, Wishes } from "../../protocol/plan.ts";
import type { InputTensor } from "../../protocol/tensor.ts";

/** What serving needs of the request's surroundings. */
export type ServeContext = {
  env: ApiEnv;
  clock: Clock;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
  waitUntil: (work: Promise<unknown>) => void;
};

export type ServeRequest = {
  /** Object name of the user's controller, derived from the key (api-keys). */
  controller: string;
  secretDigest: string;
  application: Application;
  /** Decoded and checked against the application's contract. */
  input: InputTensor;
  /** `clock.arrive()` of the request: the deadline counts from here. */
  receivedAt: number;
  deadlineMs: number;
  wishes: Wishes;
  topK: number;
  /** Shall the reply say what was weighed? */
  explain: boolean;
};

/** What an attempt answers, and where the caller asked, what was weighed for it. */
export type Served = AttemptAnswer & { explanation?: Weighed[] };
