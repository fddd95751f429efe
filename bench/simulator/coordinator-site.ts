/** The coordinator's object: the real registry behind calls that take time and may fail. */
import { Registry, type NodeRow, type RegistryChange } from "../../control/registry.ts";
import type { UserBook } from "../../control/shares.ts";
import type { ControllerExchange, ExchangeReply, GatewayReport } from "../../protocol/fleet.ts";
import type { World } from "./world.ts";

const CLOCK = "coordinator";

export class CoordinatorSite {
  readonly #world: World;
  #registry: Registry;
  #gone = false;
  // As stored.
  readonly #rows = new Map<string, NodeRow>();
  #epoch = 0;
  #books: UserBook[] = [];

  constructor(world: World) {
    this.#world = world;
    this.#registry = this.#wake();
  }

  /** `undefined`: the call failed. */
  exchange(exchange: ControllerExchange): ExchangeReply | undefined {
    this.#world.messages.count("coordinator", CLOCK, "exchange");
    if (this.#gone) return undefined;
    const now = this.#world.clock(CLOCK);
    this.#sweep(now);
    const reply = this.#registry.exchange(exchange, now);
    this.#books = this.#registry.booksDue(now) ?? this.#books;
    return reply;
  }

  report(report: GatewayReport): void {
    this.#world.messages.count("coordinator", CLOCK, "gateway report");
    if (!this.#gone) this.#write(this.#registry.report(report, this.#world.clock(CLOCK)));
  }

  /** For `ms` every call fails; then the object starts from what it had stored. */
  fail(ms: number): void {
    this.#gone = true;
    this.#world.events.after(ms, () => {
      this.#gone = false;
      this.#registry = this.#wake();
    });
  }

  #wake(): Registry {
    const wokeAt = this.#world.clock(CLOCK);
    return new Registry(this.#epoch, [...this.#rows.values()], [], { wokeAt, books: this.#books });
  }

  #sweep(now: number): void {
    for (const change of this.#registry.sweep(now)) this.#write(change);
  }

  #write(change: RegistryChange): void {
    if (!change) return;
    this.#epoch = change.epoch;
    if (change.kind === "node") this.#rows.set(change.row.entry.node, change.row);
    else this.#rows.delete(change.node);
  }
}
