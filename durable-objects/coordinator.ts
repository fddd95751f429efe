/**
 * The global coordinator: registry of nodes and their capacity, enrolments, views. Never on a request's path. A thin
 * adapter: decisions are control/registry.ts's.
 *
 * Storage: one JSON row per node (written when it comes, goes or changes, not with every load), one per enrolment,
 * and the epoch of the views.
 */
import { DurableObject } from "cloudflare:workers";
import { Registry, type EnrolmentRow, type NodeRow, type RegistryChange } from "../control/registry.ts";
import { clockOf } from "../functions/clock.ts";
import type { Clock } from "../protocol/clock.ts";
import type { ControllerExchange, ExchangeReply, GatewayReport, NodeEntry } from "../protocol/fleet.ts";
import type { CoordinatorRpc, Enrolment, Redemption } from "../protocol/services.ts";

type CoordinatorEnv = Pick<FleetEnv, "DYSTRI_CLOCK">;

export class Coordinator extends DurableObject<CoordinatorEnv> implements CoordinatorRpc {
  readonly #clock: Clock;
  readonly #sql: SqlStorage;
  readonly #registry: Registry;

  constructor(ctx: DurableObjectState, env: CoordinatorEnv) {
    super(ctx, env);
    this.#clock = clockOf(env);
    this.#sql = ctx.storage.sql;
    for (const table of ["nodes", "enrolments", "meta"]) {
      this.#sql.exec(`CREATE TABLE IF NOT EXISTS ${table} (name TEXT PRIMARY KEY, json TEXT NOT NULL)`);
    }
    const epoch = this.#read<number>("meta")[0] ?? 0;
    this.#registry = new Registry(epoch, this.#read<NodeRow>("nodes"), this.#read<EnrolmentRow>("enrolments"));
  }

  async exchange(exchange: ControllerExchange): Promise<ExchangeReply> {
    return this.#registry.exchange(exchange, this.#clock.arrive());
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

  async nodes(): Promise<NodeEntry[]> {
    return this.#registry.nodes(this.#clock.arrive());
  }

  async removeNode(node: string): Promise<boolean> {
    const change = this.#registry.remove(node);
    this.#write(change);
    return change !== null;
  }

  #write(change: RegistryChange): void {
    if (!change) return;
    if (change.kind === "node") this.#put("nodes", change.row.entry.node, change.row);
    else this.#sql.exec("DELETE FROM nodes WHERE name = ?", change.node);
    this.#put("meta", "epoch", change.epoch);
  }

  #put(table: "nodes" | "enrolments" | "meta", name: string, value: unknown): void {
    this.#sql.exec(`INSERT OR REPLACE INTO ${table} (name, json) VALUES (?, ?)`, name, JSON.stringify(value));
  }

  #read<T>(table: "nodes" | "enrolments" | "meta"): T[] {
    return this.#sql
      .exec<{ json: string }>(`SELECT json FROM ${table}`)
      .toArray()
      .map((row) => JSON.parse(row.json) as T);
  }
}
