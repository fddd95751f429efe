import { describe, expect, test } from "vitest";
import { FORGET_MS, LEASE_MS, Registry, STORE_BOOKS_EVERY_MS } from "../../control/registry.ts";
import type { ControllerExchange, GatewayReport } from "../../protocol/fleet.ts";
import { nodeEntry } from "../support/ladder.ts";

const exchange = (knownEpoch: number, over: Partial<ControllerExchange> = {}): ControllerExchange => ({
  user: "u",
  knownEpoch,
  sinceMs: 0,
  usedMs: 0,
  demandMs: 0,
  edgeMs: 0,
  offered: 0,
  onTime: 0,
  ...over,
});
const reportOf = (over: Partial<GatewayReport> = {}, load = {}, node = "n1"): GatewayReport => {
  const entry = nodeEntry(node, load);
  return { ...entry, offeredMs: 0, ...over };
};
const epochOf = (registry: Registry, now: number): number => {
  const reply = registry.exchange(exchange(0), now);
  if (reply.kind !== "view") throw new Error("expected a view");
  return reply.view.epoch;
};

describe("Registry", () => {
  test("says unchanged until something but a load changes", () => {
    const registry = new Registry(0, [], []);
    registry.report(reportOf(), 0);
    const first = registry.exchange(exchange(0), 1);
    if (first.kind !== "view") throw new Error("expected a view");
    expect(first.view.nodes.map((entry) => entry.node)).toEqual(["n1"]);
    expect(registry.report(reportOf({}, { seq: 2, backlogMs: [9, 0, 0, 0, 0, 0] }), 2)).toBeNull();
    expect(registry.exchange(exchange(first.view.epoch), 3)).toMatchObject({
      kind: "unchanged",
      loads: [{ seq: 2, ageMs: 1 }],
    });
    registry.report(reportOf({ state: "offline" }, { seq: 3 }), 4);
    expect(registry.exchange(exchange(first.view.epoch), 5)).toMatchObject({ kind: "view", view: { nodes: [] } });
  });

  test("reports overtaken on the way or of an older connection change nothing", () => {
    const registry = new Registry(0, [], []);
    registry.report(reportOf({}, { epoch: 2, seq: 5 }), 0);
    expect(registry.report(reportOf({ state: "offline" }, { epoch: 1, seq: 9 }), 1)).toBeNull();
    expect(registry.report(reportOf({ state: "offline" }, { epoch: 2, seq: 4 }), 1)).toBeNull();
    expect(registry.nodes(1)[0]?.state).toBe("online");
  });

  test("after a restart every controller gets a whole view", () => {
    const before = new Registry(0, [], []);
    const change = before.report(reportOf(), 0);
    if (change?.kind !== "node") throw new Error("expected a stored row");
    const after = new Registry(change.epoch, [change.row], []);
    expect(after.exchange(exchange(change.epoch), 10)).toMatchObject({
      kind: "view",
      view: { nodes: [{ node: "n1" }] },
    });
  });

  test("an enrolment token is taken once, in time", () => {
    const registry = new Registry(0, [], []);
    registry.mint({ digest: "d", node: "n1", tags: ["gpu"], expiresInMs: 100 }, 0);
    registry.mint({ digest: "late", node: "n2", tags: [], expiresInMs: 100 }, 0);
    expect(registry.redeem("nope", 1).reply).toEqual({ ok: false, reason: "unknown" });
    expect(registry.redeem("late", 100).reply).toEqual({ ok: false, reason: "expired" });
    const first = registry.redeem("d", 1);
    expect(first.reply).toEqual({ ok: true, node: "n1", tags: ["gpu"] });
    expect(registry.redeem("d", 2).reply).toEqual({ ok: false, reason: "used" });
    const row = first.row;
    if (!row) throw new Error("expected a row to store");
    expect(new Registry(0, [], [row]).redeem("d", 3).reply).toEqual({ ok: false, reason: "used" });
  });

  test("counts capacity from nodes that are online, and says with every reply how the user stands", () => {
    const registry = new Registry(0, [], []);
    registry.report(reportOf(), 0);
    const { registration } = nodeEntry("n2");
    registry.report(reportOf({ registration: { ...registration, concurrency: 3 } }, {}, "n2"), 0);
    expect(registry.capacity).toBe(4);
    const epoch = epochOf(registry, 0);
    const { standing } = registry.exchange(exchange(epoch, { sinceMs: 1e9, usedMs: 2e9 }), 1);
    expect(standing.nodeUse).toBeCloseTo(0.5 / 0.92);
    registry.report(reportOf({ state: "draining" }, { seq: 2 }, "n2"), 2);
    expect(registry.capacity).toBe(1);
  });

  test("an unchanged reply brings the loads that are news, once more in case a reply was lost", () => {
    const registry = new Registry(0, [], []);
    for (const node of ["n1", "n2", "n3"]) registry.report(reportOf({}, {}, node), 0);
    const epoch = epochOf(registry, 0);
    const told = (now: number, over: Partial<ControllerExchange> = {}): string[] => {
      const reply = registry.exchange(exchange(epoch, { sinceMs: 1000, ...over }), now);
      if (reply.kind !== "unchanged") throw new Error("expected unchanged");
      return reply.loads.map(({ node }) => node);
    };
    // The second reply after a view repeats what the view said.
    expect(told(1000)).toEqual(["n1", "n2", "n3"]);
    expect(told(2000)).toEqual([]);
    registry.report(reportOf({}, { seq: 2 }, "n2"), 2500);
    expect(told(3000)).toEqual(["n2"]);
    expect(told(4000)).toEqual(["n2"]);
    expect(told(5000)).toEqual([]);
    // A controller that was lost has what it stored, of an unknown age: it is told everything.
    expect(told(6000, { sinceMs: 0 })).toEqual(["n1", "n2", "n3"]);
    expect(told(6000, { user: "another" })).toEqual(["n1", "n2", "n3"]);
  });

  test("a node that is not renewed runs out by this clock, and is forgotten a day later", () => {
    const registry = new Registry(0, [], []);
    registry.report(reportOf(), 0);
    const epoch = epochOf(registry, 0);
    expect(registry.sweep(LEASE_MS)).toEqual([]);
    expect(registry.sweep(LEASE_MS + 1000)).toMatchObject([{ kind: "node", row: { entry: { state: "offline" } } }]);
    expect(registry.capacity).toBe(0);
    expect(registry.exchange(exchange(epoch), LEASE_MS + 1000)).toMatchObject({ kind: "view", view: { nodes: [] } });
    expect(registry.nodes(LEASE_MS + 1000)).toMatchObject([{ node: "n1", state: "offline" }]);
    // Its next word brings it back, without a new connection.
    registry.report(reportOf({}, { seq: 2 }), LEASE_MS + 2000);
    expect(registry.nodes(LEASE_MS + 2000)).toMatchObject([{ state: "online" }]);
    registry.report(reportOf({ state: "offline" }, { seq: 3 }), LEASE_MS + 3000);
    expect(registry.sweep(FORGET_MS)).toEqual([]);
    expect(registry.sweep(LEASE_MS + 4000 + FORGET_MS)).toMatchObject([{ kind: "removed", node: "n1" }]);
    expect(registry.nodes(FORGET_MS * 2)).toEqual([]);
  });

  test("a coordinator that was gone gives every node a lease from its waking", () => {
    const row = { entry: nodeEntry("n1"), heardAt: 0 };
    const registry = new Registry(1, [row], [], { wokeAt: FORGET_MS * 2 });
    expect(registry.sweep(FORGET_MS * 2 + LEASE_MS)).toEqual([]);
    expect(registry.sweep(FORGET_MS * 2 + LEASE_MS + 1000)).toMatchObject([{ kind: "node" }]);
  });

  test("that a node was heard is written now and then, so that a restart knows how long ago", () => {
    const registry = new Registry(0, [], []);
    const first = registry.report(reportOf(), 0);
    expect(registry.report(reportOf({}, { seq: 2 }), 29_000)).toBeNull();
    const again = registry.report(reportOf({}, { seq: 3 }), 31_000);
    expect(again).toMatchObject({ kind: "node", row: { heardAt: 31_000 }, epoch: first?.epoch });
    expect(registry.report(reportOf({}, { seq: 4 }), 32_000)).toBeNull();
  });

  test("books are stored at most every so often, and a restart goes on from them", () => {
    const registry = new Registry(0, [], []);
    registry.report(reportOf(), 0);
    registry.exchange(exchange(0, { offered: 10, onTime: 4 }), 0);
    const books = registry.booksDue(0);
    expect(books).toMatchObject([{ user: "u", debt: 5.5 }]);
    registry.exchange(exchange(0), 1000);
    expect(registry.booksDue(STORE_BOOKS_EVERY_MS - 1)).toBeNull();
    expect(registry.booksDue(STORE_BOOKS_EVERY_MS)).toHaveLength(1);
    const after = new Registry(1, [], [], { books: books ?? [], settingsOf: () => ({ weight: 2, quotaPerSecond: 9 }) });
    expect(after.exchange(exchange(0), 2000).standing).toMatchObject({ debt: 5.5, weight: 2, quotaPerSecond: 9 });
  });

  test("a view names the coordinator to talk to", () => {
    const regional = new Registry(0, [], [], { name: "coordinator:weur" });
    expect(regional.exchange(exchange(0), 0)).toMatchObject({ view: { parent: "coordinator:weur" } });
  });
});
