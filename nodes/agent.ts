/**
 * The node agent: `node nodes/agent.ts --help`. Enrols once, loads and profiles its models, then keeps a connection to
 * its gateway and computes what comes by it until it is told to stop.
 */
import { cpus } from "node:os";
import type { NodeRegistration } from "../protocol/fleet.ts";
import { importPrivateKey, issueConnectToken } from "../protocol/node-credentials.ts";
import { startFromWire } from "../protocol/node-messages.ts";
import { Compute } from "./compute.ts";
import { enrol } from "./enrol.ts";
import { Executor } from "./executor.ts";
import { loadIdentity, type Identity } from "./identity.ts";
import { Link, type GaveUp } from "./link.ts";
import { ConfigurationError, log } from "./log.ts";
import { findApplications } from "./models.ts";
import { parseOptions, USAGE, type AgentOptions } from "./options.ts";
import { profile } from "./profile.ts";

const AGENT_VERSION = "0.1.0";
const PROFILE_MS = 1000;
/** Longer than any deadline that a person waits for; what is still running then is lost. */
const DRAIN_LIMIT_MS = 30_000;
const EXIT = { stopped: 0, failed: 1, misuse: 2, refused: 3, revoked: 3, superseded: 4 } as const;

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2), process.env);
  if (!options) {
    console.log(USAGE);
    return EXIT.stopped;
  }
  const stop = new AbortController();
  const asked = whenAsked();
  let { identity, fresh } = await identify(options);
  const compute = await Compute.start({
    models: options.models,
    applications: options.applications ?? (await applicationsIn(options.models)),
    pace: options.pace,
    native: { provider: options.provider, threads: options.threads },
  });
  const registration = await register(options, compute);
  const executor = new Executor(registration, compute);
  const died = compute.died.then((error): never => {
    throw error;
  });

  for (;;) {
    const link = connect(options, identity, registration, executor);
    const draining = asked.then((signal) => drain(signal, link, executor, stop));
    const end = await Promise.race([link.run(stop.signal), died]);
    if (end.why === "stopped") await draining;
    else if (end.why === "refused" && !fresh && options.token) {
      log("agent", "certificate_refused", { detail: end.detail });
      identity = await enrol(options.url, options.token, options.state);
      checkName(identity, options.name);
      fresh = true;
      continue;
    }
    sayWhy(end);
    return EXIT[end.why];
  }
}

/** The identity on disk, or a new one by the token. A token beside an identity is kept for when that is refused. */
async function identify(options: AgentOptions): Promise<{ identity: Identity; fresh: boolean }> {
  const { url, token, state, name } = options;
  const known = await loadIdentity(state);
  if (!known && !token) {
    throw new ConfigurationError(
      `this node has not enrolled (no identity in ${state}): give --token with a one-off enrolment token`,
    );
  }
  const identity = known ?? (await enrol(url, token as string, state));
  checkName(identity, name);
  log("agent", known ? "identity_loaded" : "enrolled", { node: identity.node });
  return { identity, fresh: !known };
}

function checkName(identity: Identity, name: string | null): void {
  if (name === null || identity.node === name) return;
  throw new ConfigurationError(`--name is "${name}", but the token or the identity on disk is of ${identity.node}`);
}

async function applicationsIn(models: string): Promise<string[]> {
  const found = await findApplications(models);
  if (found.length === 0)
    throw new ConfigurationError(`there is no application in ${models}; a folder with an app.json is one`);
  return found;
}

async function register(options: AgentOptions, compute: Compute): Promise<NodeRegistration> {
  const startedAt = performance.now();
  const applications = await profile(compute, PROFILE_MS);
  const medians = Object.entries(applications).map(([name, { rungs }]) => [
    name,
    Object.fromEntries(Object.entries(rungs).map(([rung, { medianMs }]) => [rung, medianMs])),
  ]);
  log("agent", "profiled", {
    tookMs: Math.round(performance.now() - startedAt),
    medianMs: Object.fromEntries(medians),
  });
  return {
    agentVersion: AGENT_VERSION,
    bootId: crypto.randomUUID(),
    provider: options.provider,
    device: `${options.pace > 1 ? `pace ${options.pace}, ` : ""}${cpus()[0]?.model ?? process.arch}`.slice(0, 128),
    concurrency: 1,
    applications,
  };
}

function connect(options: AgentOptions, identity: Identity, registration: NodeRegistration, executor: Executor): Link {
  const { node, certificate, privateKey } = identity;
  const url = new URL(identity.gateway, options.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const link = new Link({
    url: url.href,
    credentials: async () => {
      const key = await importPrivateKey(privateKey, "the node's key");
      return { certificate, token: await issueConnectToken(node, certificate, key, Date.now()) };
    },
    hello: () => ({ registration, busyMs: executor.backlogMs }),
    receive: (message, epoch) => {
      const { sequence } = message;
      const id = `${epoch}:${sequence}`;
      if (message.kind === "cancel") return executor.cancel(id);
      executor.take(id, message.header, startFromWire(message.header, message.payload), (reply) => {
        link.send(epoch, reply.kind, sequence, reply.header);
      });
    },
    lost: () => executor.cancelAll(),
  });
  return link;
}

/** Resolves with the first signal to stop; a second one ends the process at once. */
function whenAsked(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => {
        resolve(signal);
        process.once(signal, () => process.exit(EXIT.failed));
      });
    }
  });
}

/** No new jobs, those in hand finished and answered, then the connection closed. */
async function drain(signal: string, link: Link, executor: Executor, stop: AbortController): Promise<void> {
  log("agent", "draining", { signal });
  const limit = setTimeout(() => stop.abort(), DRAIN_LIMIT_MS);
  await Promise.all([link.drain(signal), executor.drain()]);
  clearTimeout(limit);
  stop.abort();
}

function sayWhy(end: GaveUp): void {
  if (end.why === "stopped") return log("agent", "stopped");
  log("agent", "gave_up", end);
  const advice = {
    refused:
      "the service does not accept this node's credentials; check the clock, or delete the state folder and enrol with a new token",
    revoked: "this node was revoked; to bring it back, delete the state folder and enrol with a new token",
    superseded: "another agent with this node's identity has connected; every agent needs a state folder of its own",
  };
  console.error(`dystri node: ${advice[end.why]} (${end.detail})`);
}

try {
  process.exit(await main());
} catch (error) {
  const plain = error instanceof ConfigurationError;
  log("agent", "failed", { detail: error instanceof Error ? error.message : String(error) });
  if (plain) console.error(`dystri node: ${error.message}`);
  else console.error(error);
  process.exit(plain ? EXIT.misuse : EXIT.failed);
}
