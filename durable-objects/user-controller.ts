/**
 * The object of one user: keys and the controller. A thin adapter: decisions are control/controller.ts's.
 *
 * Storage: `keys` holds digests of key secrets, `state` one JSON snapshot of what the controller learnt, written at
 * most once a second, so that a user's request rate is not bound by writes. An eviction loses at most that second.
 */
import { DurableObject } from "cloudflare:workers";
import { Controller, type ControllerEffects, type ControllerSnapshot } from "../control/controller.ts";
import { clockOf } from "../functions/clock.ts";
import { coordinator } from "../functions/stubs.ts";
import { applications } from "../functions/generated/catalogue.ts";
import type { Clock } from "../protocol/clock.ts";
import type { Insight } from "../protocol/insight.ts";
import { fromJsonText, toJsonText, type JsonText } from "../protocol/json-text.ts";
import type { PlanReply, PlanRequest, Report } from "../protocol/plan.ts";
import type { KeyRecord, UserControllerRpc } from "../protocol/services.ts";

/** What the object needs of its Worker's environment. */
export type UserControllerEnv = Pick<ApiEnv, "DYSTRI_CLOCK" | "DYSTRI_HEDGING" | "COORDINATOR">;

/** Keys one user may have, revoked ones included: bounds the table and the constructor's read. */
const MAX_KEYS = 100;

export class UserController extends DurableObject<UserControllerEnv> implements UserControllerRpc {
  readonly #clock: Clock;
  readonly #sql: SqlStorage;
  readonly #keys = new Map<string, KeyRecord>();
  readonly #controller: Controller;
  /** The coordinator to talk to: the global one until a view names another. */
  #parent: string | undefined;

  constructor(ctx: DurableObjectState, env: UserControllerEnv) {
    super(ctx, env);
    this.#clock = clockOf(env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec(`CREATE TABLE IF NOT EXISTS keys
      (id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, label TEXT NOT NULL, createdAt INTEGER NOT NULL, revokedAt INTEGER)`);
    this.#sql.exec("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, json TEXT NOT NULL)");
    for (const key of this.#sql.exec<KeyRecord>("SELECT id, digest, label, createdAt, revokedAt FROM keys")) {
      this.#keys.set(key.digest, key);
    }
    this.#controller = new Controller(ctx.id.name ?? ctx.id.toString(), applications, this.#stored(), {
      hedging: env.DYSTRI_HEDGING === "on",
    });
  }

  /** Decides from memory: no storage, no call to anyone. An old view is refreshed after the answer has left. */
  async plan(question: JsonText<PlanRequest>, reports: JsonText<Report[]> | null): Promise<JsonText<PlanReply>> {
    const now = this.#clock.arrive();
    // Undefined where a caller of an earlier deployment asks.
    if (reports) this.#learn(reports, now);
    const request = fromJsonText(question);
    if (!this.#knows(request.secretDigest)) {
      return toJsonText({ ok: false, code: "unauthenticated", detail: "the API key is missing or not valid" });
    }
    const { reply, effects } = this.#controller.plan(request, now, crypto.randomUUID());
    this.#carryOut(effects);
    return toJsonText(reply);
  }

  async report(reports: JsonText<Report[]>): Promise<void> {
    this.#learn(reports, this.#clock.arrive());
  }

  async insight(secretDigest: string): Promise<JsonText<Insight> | null> {
    return this.#knows(secretDigest) ? toJsonText(this.#controller.insight(this.#clock.arrive())) : null;
  }

  async addKey(key: { id: string; digest: string; label: string }): Promise<KeyRecord> {
    const known = this.#keys.get(key.digest);
    if (known) return known;
    if (this.#keys.size >= MAX_KEYS) throw new RangeError(`a user may have ${MAX_KEYS} keys`);
    const record: KeyRecord = { ...key, createdAt: this.#clock.arrive(), revokedAt: null };
    this.#sql.exec(
      "INSERT INTO keys (id, digest, label, createdAt, revokedAt) VALUES (?, ?, ?, ?, NULL)",
      record.id,
      record.digest,
      record.label,
      record.createdAt,
    );
    this.#keys.set(record.digest, record);
    return record;
  }

  async revokeKey(id: string): Promise<boolean> {
    const key = [...this.#keys.values()].find((record) => record.id === id);
    if (!key) return false;
    const revokedAt = key.revokedAt ?? this.#clock.arrive();
    this.#sql.exec("UPDATE keys SET revokedAt = ? WHERE id = ?", revokedAt, id);
    this.#keys.set(key.digest, { ...key, revokedAt });
    return true;
  }

  async keys(): Promise<Omit<KeyRecord, "digest">[]> {
    return [...this.#keys.values()].map(({ id, label, createdAt, revokedAt }) => ({ id, label, createdAt, revokedAt }));
  }

  #knows(secretDigest: string): boolean {
    return this.#keys.get(secretDigest)?.revokedAt === null;
  }

  #learn(reports: JsonText<Report[]>, now: number): void {
    for (const report of fromJsonText(reports)) this.#carryOut(this.#controller.report(report, now));
  }

  #carryOut(effects: ControllerEffects): void {
    if (effects.store) this.#store(effects.store);
    if (effects.exchange) this.ctx.waitUntil(this.#exchange(effects.exchange));
  }

  /** Failure is silent by design: the view ages, and old views lose weight (docs/design.md, "When things fail"). */
  async #exchange(exchange: NonNullable<ControllerEffects["exchange"]>): Promise<void> {
    try {
      const reply = await this.#clock.settled(coordinator(this.env, this.#parent).exchange(exchange));
      if (reply.kind === "view") this.#parent = reply.view.parent;
      this.#controller.absorb(reply, this.#clock.now());
    } catch (error) {
      console.warn(JSON.stringify({ event: "exchange_failed", component: "user-controller", error: String(error) }));
    }
  }

  #store(snapshot: ControllerSnapshot): void {
    this.#sql.exec("INSERT OR REPLACE INTO state (name, json) VALUES ('controller', ?)", JSON.stringify(snapshot));
  }

  #stored(): ControllerSnapshot | null {
    const row = this.#sql.exec<{ json: string }>("SELECT json FROM state WHERE name = 'controller'").toArray()[0];
    if (!row) return null;
    const snapshot = JSON.parse(row.json) as ControllerSnapshot;
    return snapshot.schema === 3 ? snapshot : null;
  }
}
