import { describe, expect, test } from "vitest";
import { Registry } from "../../control/registry.ts";
import type { GatewayReport } from "../../protocol/fleet.ts";
import { nodeEntry } from "../support/ladder.ts";

const exchange = (knownEpoch: number) => ({ user: "u", knownEpoch, sinceMs: 0, usedMs: 0, demandMs: 0 });
const reportOf = (over: Partial<GatewayReport> = {}, load = {}): GatewayReport => {
  const entry = nodeEntry("n1", load);
  return { ...entry, offeredMs: 0, ...over };
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
});
