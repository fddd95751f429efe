/** What gateways, nodes, controllers and the coordinator tell each other about machines and load. */
import type { ExitResult, NodeView } from "./plan.ts";
import type { Start } from "./tensor.ts";

/** Measured by the agent at start: median milliseconds of the rung from the input, and per batch size where it batches. */
export type RungProfile = {
  /** From the input to this rung's answer, batch 1. */
  medianMs: number;
  p95Ms: number;
  /** Share of right answers on validation, by the app.json the agent loaded: bounds the price of the node's time. */
  quality: number;
  /** The most that any confidence at the rung before promises to gain by going on to this one; bounds the price likewise. */
  gain: number;
  /**
   * Milliseconds of each stage alone on the way, keyed by the rung it belongs to: what resuming from a cut costs. A batch
   * of n takes medianMs + (n − 1) · marginalMs; where a batch gains nothing marginalMs is medianMs.
   */
  stageMs: { rung: number; medianMs: number; marginalMs: number }[];
};

export type NodeApplication = {
  /** `version` of the app.json the agent loaded: another version answers another ladder. */
  version: string;
  /** Profiles by rung index, as a string key. Rungs the node cannot run are absent. */
  rungs: Record<string, RungProfile>;
};

/** What a node announces when it connects. */
export type NodeRegistration = {
  agentVersion: string;
  /** New at every start of the agent, so that a restart is told from a reconnect. */
  bootId: string;
  provider: string;
  device: string;
  /** Runs at the same time. */
  concurrency: number;
  applications: Record<string, NodeApplication>;
};

export type NodeState = "online" | "draining" | "offline";

/** A node as the coordinator knows it and as a view carries it. */
export type NodeEntry = {
  node: string;
  /** Object name of its gateway. */
  gateway: string;
  state: NodeState;
  registration: NodeRegistration;
  load: NodeView;
};

/** A controller's view of the fleet. `epoch` counts changes; `ageMs` counts from the coordinator's last contact with the node. */
export type FleetView = {
  epoch: number;
  /** The coordinator the reader should talk to; a regional one may name another later. */
  parent: string;
  nodes: NodeEntry[];
};

/**
 * How one user stands among the others, by the coordinator's books. A ratio of 1 is a user who uses exactly their
 * share; prices are multiplied by what is above or below it (docs/control.md).
 */
export type UserStanding = {
  weight: number;
  /** Of node time, 0–1: weight over the weights of active users, times the target utilisation. */
  share: number;
  /** Node time used over share, and edge time used over the user's part of all edge time used, both smoothed. */
  nodeUse: number;
  edgeUse: number;
  /** Answers on time still owed, 0 to 50. */
  debt: number;
  /** Requests a second the operator allows; null for no limit. */
  quotaPerSecond: number | null;
};

/** From a controller, at most once a second. Everything counts since the last exchange, `sinceMs` ago. */
export type ControllerExchange = {
  user: string;
  knownEpoch: number;
  sinceMs: number;
  /** Node work used and asked for, and edge work used. */
  usedMs: number;
  demandMs: number;
  edgeMs: number;
  /** Requests, refused ones included, and answers on time. */
  offered: number;
  onTime: number;
};

export type ExchangeReply = { standing: UserStanding } & (
  { kind: "unchanged"; epoch: number; loads: NodeView[] } | { kind: "view"; view: FleetView }
);

/** From a gateway, on change and at most a few times a second. */
export type GatewayReport = {
  node: string;
  gateway: string;
  state: NodeState;
  registration: NodeRegistration;
  load: NodeView;
  /** Work offered since the last report, whether admitted or not. */
  offeredMs: number;
};

/** Why a gateway or an agent did not take a job. */
export const REFUSALS = {
  not_connected: "the node has no live connection",
  silent: "the node has missed its heartbeats",
  draining: "the node is finishing its work and takes no more",
  too_late: "the node's queue cannot make the deadline",
  busy: "the node holds as many jobs as it may",
  unknown_application: "the node does not serve this application and rung",
  bad_input: "the job's tensor does not fit the application",
  failed: "the node's runtime failed on the job",
  unwell: "the node has let several jobs in a row run out of time; it is tried again in a moment",
  evicted: "a user who uses less of the node needed the room",
} as const;
export type RefusalCode = keyof typeof REFUSALS;

/** A job as api hands it to a gateway. The ticket is new for every attempt. */
export type NodeJob = {
  ticket: string;
  application: string;
  start: Start;
  rung: number;
  minRung: number;
  /** Until the answer must be back in the caller's hands. */
  remainingMs: number;
  topK: number;
  claim: Claim;
};

/** Whose work it is, for sharing a queue out. `user` is opaque and never leaves the service. */
export type Claim = { user: string; weight: number; priority: "low" | "normal" | "high" };

export type NodeAnswer = {
  kind: "answer";
  exit: ExitResult;
  /** Measured by the agent on its own clock. */
  queueMs: number;
  computeMs: number;
  /** Jobs that ran together in that time, this one included. */
  batch: number;
  view: NodeView;
};

export type NodeReply =
  | NodeAnswer
  | { kind: "refused"; code: RefusalCode; detail: string; view: NodeView }
  | { kind: "lost"; reason: "disconnected" | "superseded" | "cancelled" | "expired"; view: NodeView };
