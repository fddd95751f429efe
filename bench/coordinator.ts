/**
 * `npm run bench:coordinator`: what the one coordinator costs. Computation per exchange with many active users, and
 * the bytes of what it is told and answers, for the arithmetic of docs/decisions/0006-regional-coordinators.md. Messages
 * are measured in V8's serialisation, which is what RPC carries. Exit code 1 where a bound is broken.
 */
import { serialize } from "node:v8";
import { MAX_VIEW_NODES, Registry } from "../control/registry.ts";
import { applications } from "../functions/generated/catalogue.ts";
import type { ControllerExchange, ExchangeReply, GatewayReport, NodeRegistration } from "../protocol/fleet.ts";
import { describeMachine } from "./lib/machine.ts";
import { median } from "./lib/statistics.ts";

/** Messages a second that one object takes, by the platform's documentation: a soft limit. */
const OBJECT_LIMIT_PER_S = 1000;
const USERS = 1000;
const SECONDS = 30;
const EXCHANGE_BUDGET_US = 100;
/** Budgets of docs/control.md: per active user, per node with traffic. */
const PER_USER = 1;
const PER_NODE = 4;

/** A node that serves every rung of every application. */
function registration(): NodeRegistration {
  const served = applications.map(({ name, version, rungs }) => {
    const profiles = rungs.map(({ referenceMs, quality }, rung) => {
      const stage = { rung, medianMs: referenceMs.node, marginalMs: referenceMs.node };
      const profile = {
        medianMs: referenceMs.node,
        p95Ms: referenceMs.node * 1.3,
        quality: quality.validation,
        gain: 0.1,
        stageMs: [stage],
      };
      return [String(rung), profile] as const;
    });
    return [name, { version, rungs: Object.fromEntries(profiles) }] as const;
  });
  const applicationsServed = Object.fromEntries(served);
  return {
    agentVersion: "1.0.0",
    bootId: "0123456789abcdef",
    provider: "cuda",
    device: "a device with a name",
    concurrency: 1,
    applications: applicationsServed,
  };
}

function report(node: number, seq: number): GatewayReport {
  const name = `node-${node}`;
  return {
    node: name,
    gateway: `gw:weur:${name}`,
    state: "online",
    registration: registration(),
    load: {
      node: name,
      epoch: 1,
      seq,
      price: 0.00123,
      slowdown: 1.07,
      tail: 1.31,
      backlogMs: [3.2, 1.5, 0, 12.25, 0, 0],
      ageMs: 0,
    },
    offeredMs: 812.5,
  };
}

const exchange = (user: number, knownEpoch: number): ControllerExchange => ({
  user: `user:${String(user).padStart(64, "0")}`,
  knownEpoch,
  sinceMs: 1000,
  usedMs: 31.25,
  demandMs: 40.5,
  edgeMs: 12.75,
  offered: 20,
  onTime: 19,
});

/** Of writing a reply out, once per reader. */
function serialiseMs(value: unknown): number {
  const times = Array.from({ length: 50 }, () => {
    const startedAt = performance.now();
    serialize(value);
    return performance.now() - startedAt;
  });
  return median(times);
}

const bytes = (value: unknown): number => serialize(value).byteLength;

function epochOf(reply: ExchangeReply): number {
  return reply.kind === "view" ? reply.view.epoch : reply.epoch;
}

/** Microseconds per exchange, per second of virtual time, and the sizes of replies in the last one. */
function measure(nodes: number, busy: number): { us: number[]; unchanged: number; view: number; viewMs: number } {
  const registry = new Registry(0, [], []);
  for (let node = 0; node < nodes; node++) registry.report(report(node, 1), 0);
  const view = registry.exchange(exchange(0, 0), 0);
  const epoch = epochOf(view);
  const us: number[] = [];
  let unchanged = 0;
  for (let second = 1; second <= SECONDS; second++) {
    const now = second * 1000;
    for (let node = 0; node < busy; node++) registry.report(report(node, second + 1), now);
    const replies: ExchangeReply[] = [];
    const startedAt = performance.now();
    for (let user = 0; user < USERS; user++) {
      registry.sweep(now + user);
      replies.push(registry.exchange(exchange(user, epoch), now + user));
    }
    us.push(((performance.now() - startedAt) * 1000) / USERS);
    unchanged = bytes(replies[1]);
  }
  return { us, unchanged, view: bytes(view), viewMs: serialiseMs(view) };
}

console.log(describeMachine());
const exchangeBytes = bytes(exchange(1, 1));
const reportBytes = bytes(report(1, 1));
console.log(`an exchange is ${exchangeBytes} bytes, a gateway's report ${reportBytes}; ${USERS} active users`);
let passed = true;
for (const [nodes, busy] of [
  [1, 1],
  [8, 8],
  [MAX_VIEW_NODES, 8],
  [MAX_VIEW_NODES, MAX_VIEW_NODES],
] as const) {
  const { us, unchanged, view, viewMs } = measure(nodes, busy);
  const held = median(us) <= EXCHANGE_BUDGET_US;
  passed &&= held;
  console.log(
    `${nodes} nodes, ${busy} busy: ${median(us).toFixed(1)} µs per exchange (${Math.min(...us).toFixed(1)} to ${Math.max(...us).toFixed(1)}), ` +
      `unchanged ${unchanged} bytes, view ${view} bytes in ${viewMs.toFixed(2)} ms; budget ${EXCHANGE_BUDGET_US} µs: ${held ? "held" : "MISSED"}`,
  );
}
console.log(`active users that one object of ${OBJECT_LIMIT_PER_S} messages a second can take:`);
for (const nodes of [0, 8, 64, 128, 200]) {
  console.log(`  ${nodes} nodes: ${(OBJECT_LIMIT_PER_S - PER_NODE * nodes) / PER_USER}`);
}
process.exitCode = passed ? 0 : 1;
