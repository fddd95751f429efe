/**
 * The global coordinator: registry of nodes and their capacity, enrolments, views; users' weights, quotas, use and debts.
 * Never on a request's path. A thin adapter: decisions are control/registry.ts's and control/shares.ts's.
 *
 * Storage: one JSON row per node (when it comes, goes or changes, and that it was heard about every 30 s; not with every
 * load), one per enrolment, one per user for whom the operator has set something, and in `meta` the epoch of the views and
 * the books of all users (in one row, at most every 5 s, inside an exchange).
 */
import { DurableObject } from "cloudflare:workers";
import { Registry, type EnrolmentRow, type NodeRow, type RegistryChange } from "../control/registry.ts";
import { DEFAULT_SETTINGS, type UserBook } from "../control/shares.ts";
import { clockOf } from "../functions/clock.ts";
import type { Clock } from "../protocol/clock.ts";
import type { ControllerExchange, ExchangeReply, GatewayReport, NodeEntry } from "../protocol/fleet.ts";
import type { CoordinatorRpc, Enrolment, Redemption, UserRecord, UserSettings } from "../protocol/services.ts";

type CoordinatorEnv = Pick<FleetEnv, "DYSTRI_CLOCK">;

const TABLES = ["nodes", "enrolments", "users", "meta"] as const;
type Table = (typeof TABLES)[number];

export class Coordinator extends DurableObject<CoordinatorEnv> implements CoordinatorRpc {
  readonly #clock: Clock;
  readonly #sql: SqlStorage;
  readonly #registry: Registry;

  constructor(ctx: DurableObjectState, env: CoordinatorEnv) {
    super(ctx, env);
    this.#clock = clockOf(env);
    this.#sql = ctx.storage.sql;
    for (const table of TABLES) {
      this.#sql.exec(`CREATE TABLE IF NOT EXISTS ${table} (name TEXT PRIMARY KEY, json TEXT NOT NULL)`);
    }
    const epoch = this.#get<number>("meta", "epoch") ?? 0;
    this.#registry = new Registry(epoch, this.#all<NodeRow>("nodes"), this.#all<EnrolmentRow>("enrolments"), {
      ...(ctx.id.name !== undefined && { name: ctx.id.name }),
      wokeAt: this.#clock.arrive(),
      books: this.#get<UserBook[]>("meta", "books") ?? [],
      settingsOf: (user) => this.#settings(user),
    });
  }

  async exchange(exchange: ControllerExchange): Promise<ExchangeReply> {
    const now = this.#clock.arrive();
    this.#sweep(now);
    const reply = this.#registry.exchange(exchange, now);
    const books = this.#registry.booksDue(now);
    if (books) this.#put("meta", "books", books);
    return reply;
  }

  async reportGateway(report: GatewayReport): Promise<void> {
    this.#write(this.#registry.report(report, this.#clock.arrive()));
  }

  async mintEnrolment(enrolment: Enrolment): Promise<void> {
    const row = this.#registry.mint(enrolment, this.#clock.arrive());
    this.#put("enrolments", row.digest, row);
  }

  async redeemEnrolment(digest: string): Promise<Redemption> {
    const { reply, row } = this.#registry.redeem(digest, this.#clock.arrive());
    // The output gate holds the reply until this write is durable: a token is taken at most once.
    if (row) this.#put("enrolments", row.digest, row);
    return reply;
  }

  async user(user: string): Promise<UserRecord> {
    return { ...this.#settings(user), standing: this.#registry.shares.standing(user, this.#clock.arrive()) };
  }

  async setUser(user: string, settings: UserSettings): Promise<UserRecord> {
    this.#put("users", user, settings);
    this.#registry.shares.configure(user, settings);
    return this.user(user);
  }

  async nodes(): Promise<NodeEntry[]> {
    const now = this.#clock.arrive();
    this.#sweep(now);
    return this.#registry.nodes(now);
  }

  async removeNode(node: string): Promise<boolean> {
    const change = this.#registry.remove(node);
    this.#write(change);
    return change !== null;
  }

  #sweep(now: number): void {
    for (const change of this.#registry.sweep(now)) this.#write(change);
  }

  #write(change: RegistryChange): void {
    if (!change) return;
    if (change.kind === "node") this.#put("nodes", change.row.entry.node, change.row);
    else this.#sql.exec("DELETE FROM nodes WHERE name = ?", change.node);
    this.#put("meta", "epoch", change.epoch);
  }

  #settings(user: string): UserSettings {
    return this.#get<UserSettings>("users", user) ?? DEFAULT_SETTINGS;
  }

  #put(table: Table, name: string, value: unknown): void {
    this.#sql.exec(`INSERT OR REPLACE INTO ${table} (name, json) VALUES (?, ?)`, name, JSON.stringify(value));
  }

  #get<T>(table: Table, name: string): T | undefined {
    const row = this.#sql.exec<{ json: string }>(`SELECT json FROM ${table} WHERE name = ?`, name).toArray()[0];
    return row && (JSON.parse(row.json) as T);
  }

  #all<T>(table: Table): T[] {
    return this.#sql
      .exec<{ json: string }>(`SELECT json FROM ${table}`)
      .toArray()
      .map((row) => JSON.parse(row.json) as T);
  }
}
