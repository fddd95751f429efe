/**
 * The coordinator in workerd: users' settings and books on disk, and controllers that go on without it. Evictions are
 * the platform's own here; what these tests do not show is where a deployed object is placed.
 */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Coordinator } from "../../durable-objects/coordinator.ts";
import { applications } from "../../functions/generated/catalogue.ts";
import { coordinator, nodeGateway, userController } from "../../functions/stubs.ts";
import type { ControllerExchange } from "../../protocol/fleet.ts";
import { COORDINATOR_NAME } from "../../protocol/services.ts";
import { nodeEntry } from "../support/ladder.ts";

const stub = () => env.COORDINATOR.getByName(COORDINATOR_NAME);
const evict = () => evictDurableObject(stub());
const newUser = (): string => `user:${crypto.randomUUID()}`;

const said = (user: string, over: Partial<ControllerExchange> = {}): ControllerExchange => ({
  user,
  knownEpoch: 0,
  sinceMs: 1000,
  usedMs: 0,
  demandMs: 0,
  edgeMs: 0,
  offered: 0,
  onTime: 0,
  ...over,
});

describe("users", () => {
  test("keep the weight and quota the operator gave them, also across an eviction", async () => {
    const user = newUser();
    expect(await coordinator(env).user(user)).toEqual({ weight: 1, quotaPerSecond: null, standing: null });
    // Known before and after the setting: one way through memory, one through the table.
    await coordinator(env).exchange(said(user));
    await coordinator(env).setUser(user, { weight: 4, quotaPerSecond: 2.5 });
    const settings = { weight: 4, quotaPerSecond: 2.5 };
    expect((await coordinator(env).exchange(said(user))).standing).toMatchObject(settings);
    await evict();
    expect(await coordinator(env).user(user)).toMatchObject({ ...settings, standing: { ...settings, active: true } });
    expect((await coordinator(env).exchange(said(user))).standing).toMatchObject(settings);
  });

  test("have twice the share with twice the weight", async () => {
    const [light, heavy] = [newUser(), newUser()];
    await coordinator(env).setUser(heavy, { weight: 2, quotaPerSecond: null });
    await coordinator(env).exchange(said(light));
    const { standing } = await coordinator(env).exchange(said(heavy));
    const again = await coordinator(env).exchange(said(light));
    expect(standing.share / again.standing.share).toBeCloseTo(2);
  });

  test("keep their use and debt when the coordinator is evicted mid-epoch; its views begin a new epoch", async () => {
    await coordinator(env).reportGateway({ ...nodeEntry("node-e"), offeredMs: 0 });
    await evict();
    const user = newUser();
    // The first exchange after a waking stores the books, and so does none of the next five seconds.
    const before = await coordinator(env).exchange(said(user, { usedMs: 300, offered: 20, onTime: 9 }));
    expect(before.standing.debt).toBeCloseTo(10);
    expect(before.standing.nodeUse).toBeGreaterThan(0);
    const epoch = before.kind === "view" ? before.view.epoch : before.epoch;
    await evict();
    expect((await coordinator(env).user(user)).standing).toMatchObject({ active: true, debt: 10 });
    const after = await coordinator(env).exchange(said(user, { knownEpoch: epoch, sinceMs: 0 }));
    expect(after.standing.debt).toBeCloseTo(10);
    expect(after.standing.nodeUse / before.standing.nodeUse).toBeCloseTo(1, 1);
  });
});

test("a controller whose coordinator throws goes on planning, and is heard again when it is back", async () => {
  const digest = "e".repeat(64);
  const name = newUser();
  await userController(env, name).addKey({ id: "k1", digest, label: "test" });
  let asked = 0;
  let restore = (): void => undefined;
  await runInDurableObject(stub(), (instance: Coordinator) => {
    // Methods that callers reach are the prototype's.
    const prototype = Object.getPrototypeOf(instance) as Coordinator;
    const original = Object.getOwnPropertyDescriptor(prototype, "exchange") as PropertyDescriptor;
    restore = () => void Object.defineProperty(prototype, "exchange", original);
    prototype.exchange = () => {
      asked++;
      return Promise.reject(new Error("out of order"));
    };
  });
  const plan = () =>
    userController(env, name).plan({
      application: applications[0]!.name,
      secretDigest: digest,
      remainingMs: 500,
      wishes: { deadlinePolicy: "best_effort" },
    });
  for (let i = 0; i < 500 && asked === 0; i++) expect((await plan()).ok).toBe(true);
  expect(asked).toBe(1);
  expect((await plan()).ok).toBe(true);
  restore();
  expect((await coordinator(env).exchange(said(name))).kind).toBe("view");
  expect((await plan()).ok).toBe(true);
});

describe("placement", () => {
  /** Remembers how it was asked. */
  function namespace() {
    const asked: unknown[][] = [];
    return { asked, getByName: (...how: unknown[]) => asked.push(how) };
  }

  test.each([
    ["weur", { locationHint: "weur" }],
    ["local", {}],
  ])("region %s is part of names, and a hint where the platform knows it", (region, hint) => {
    const [coordinators, gateways] = [namespace(), namespace()];
    const bindings = { COORDINATOR: coordinators, NODE_GATEWAY: gateways, DYSTRI_REGION: region } as unknown as ApiEnv;
    coordinator(bindings);
    coordinator(bindings, "coordinator:weur");
    nodeGateway(bindings, "n1");
    expect(coordinators.asked).toEqual([
      ["coordinator:global", hint],
      ["coordinator:weur", hint],
    ]);
    expect(gateways.asked).toEqual([[`gw:${region}:n1`, hint]]);
  });
});
