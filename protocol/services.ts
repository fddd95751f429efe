/**
 * The RPC surface of every object and Worker, as callers see it. The classes implement these interfaces, so that
 * both sides of a call are checked against one text.
 */
import type {
  ControllerExchange,
  ExchangeReply,
  GatewayReport,
  NodeEntry,
  NodeJob,
  NodeReply,
  UserStanding,
} from "./fleet.ts";
import type { EdgeJobMessage, IsolateReport, RunResult } from "./inference.ts";
import type { JsonText } from "./json-text.ts";
import type { Insight } from "./insight.ts";
import type { PlanReply, PlanRequest, Report } from "./plan.ts";

export interface InferenceRpc {
  /** Runs a job to the end that its plan, its time or its caller gives it. No two jobs of any caller share a ticket. */
  run(ticket: string, job: EdgeJobMessage): Promise<RunResult>;
  /**
   * Makes the job with this ticket end at its next stage boundary with what it has finished. Of no effect where there is
   * none: it has ended, or another isolate of this Worker has it, and then its time ends it.
   */
  cancel(ticket: string): Promise<void>;
  /** Loads the runtime and every session, and runs each once. Resolves when the isolate is warm. */
  warm(): Promise<IsolateReport>;
  debug(): Promise<IsolateReport>;
}

export type KeyRecord = { id: string; digest: string; label: string; createdAt: number; revokedAt: number | null };

export interface UserControllerRpc {
  /** `reports`: what the caller has to report, learnt from before anything is decided; null for nothing. */
  plan(request: JsonText<PlanRequest>, reports: JsonText<Report[]> | null): Promise<JsonText<PlanReply>>;
  report(reports: JsonText<Report[]>): Promise<void>;
  /** What the controller believes; null unless the digest is of a valid key of this user. */
  insight(secretDigest: string): Promise<JsonText<Insight> | null>;
  /** Registers the digest of a key's secret. The first key makes the user. */
  addKey(key: { id: string; digest: string; label: string }): Promise<KeyRecord>;
  /** False when the user has no such key. */
  revokeKey(id: string): Promise<boolean>;
  keys(): Promise<Omit<KeyRecord, "digest">[]>;
}

export type Enrolment = {
  /** SHA-256 of the one-off token, hex. */
  digest: string;
  node: string;
  tags: string[];
  expiresInMs: number;
};

export type Redemption =
  { ok: true; node: string; tags: string[] } | { ok: false; reason: "unknown" | "used" | "expired" };

/** What the operator sets for a user. */
export type UserSettings = Pick<UserStanding, "weight" | "quotaPerSecond">;

/** `standing` is null for a user that has not been heard of for so long that the coordinator has forgotten it. */
export type UserRecord = UserSettings & { standing: (UserStanding & { active: boolean }) | null };

/** Users are known to the coordinator by the names of their controllers' objects, as `exchange` says them. */
export interface CoordinatorRpc {
  exchange(exchange: ControllerExchange): Promise<ExchangeReply>;
  reportGateway(report: GatewayReport): Promise<void>;
  mintEnrolment(enrolment: Enrolment): Promise<void>;
  redeemEnrolment(digest: string): Promise<Redemption>;
  user(user: string): Promise<UserRecord>;
  /** Takes effect with the user's next exchange, about a second later. */
  setUser(user: string, settings: UserSettings): Promise<UserRecord>;
  nodes(): Promise<NodeEntry[]>;
  /** Forgets a node. False when there is none of that name. */
  removeNode(node: string): Promise<boolean>;
}

export type GatewayStatus = {
  node: string | null;
  epoch: number;
  connected: boolean;
  draining: boolean;
  revoked: boolean;
  inFlight: number;
  lastSeenAgeMs: number | null;
};

export interface NodeGatewayRpc {
  submit(job: NodeJob): Promise<NodeReply>;
  cancel(ticket: string): Promise<void>;
  status(): Promise<GatewayStatus>;
  /** Closes the socket and refuses this node's certificate from now on. */
  revoke(): Promise<void>;
}

/**
 * Object names. The region is part of the name, so that moving an object is a new name, never a silent move. There is one
 * coordinator; regional ones under it would be `coordinator:<region>` (docs/decisions/0006-regional-coordinators.md).
 */
export const COORDINATOR_NAME = "coordinator:global";
export const gatewayName = (region: string, node: string): string => `gw:${region}:${node}`;
