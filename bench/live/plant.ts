/**
 * The live machines as the simulator takes them: from what the service says of itself (GET /v1/nodes, GET /v1/controller)
 * and from what was measured on it before the runs that count.
 */
import type { Application } from "../../protocol/application.ts";
import type { NodeApplication, NodeRegistration } from "../../protocol/fleet.ts";
import { median, quantile } from "../lib/statistics.ts";
import type { Plant } from "../simulator/world.ts";

/** Of GET /v1/nodes: the fields that are read here. */
export type NodeRow = {
  node: string;
  state: string;
  agent_version: string;
  provider: string;
  device: string;
  concurrency: number;
  applications: Record<string, NodeApplication>;
};

/** Of GET /v1/controller. */
export type ControllerRow = {
  edge: { platform: string; slowdown: number; overhead_ms: number }[];
  nodes: { node: string; link_ms: number }[];
};

/** One answer of a node, whole from the input. */
export type NodeRun = { node: string; application: string; rung: number; computeMs: number };

export type Measured = {
  /** Of each platform's edge over app.json's times, by the controllers of its users. */
  edgeSlowdown: Record<string, number>;
  /** Of a call of an inference Worker, there and back. */
  edgeCallMs: number;
  /** From the front to an object and back. */
  objectMs: number;
  /** From an object to a node and back, without the object's own part. */
  linkMs: number;
  /** What the service's thread spends on a request beside the edge's stages, by application: 1 over what it lets through. */
  frontMs: Record<string, number>;
  /** Between the client and the front, there and back, and what is added to neither: by application. */
  wireMs: Record<string, number>;
  /** Over the node's own profile, under load; and the log-deviation of single runs. */
  nodeSlowdown: Record<string, number>;
  sigma: number;
};

/** Fewer runs than this say nothing of spread. */
const ENOUGH_RUNS = 20;
/** Journeys on one machine: their spread. */
const JITTER = 0.3;
const LEAST_MS = 0.05;

/** Slow-down of each node over its profile, and the spread of its runs: medians, as a few runs are interrupted for long. */
export function nodeTimes(
  nodes: readonly NodeRow[],
  runs: readonly NodeRun[],
): Pick<Measured, "nodeSlowdown" | "sigma"> {
  const spreads: number[] = [];
  const slowdowns = nodes.map(({ node, applications }): [string, number] => {
    const ratios = runs.flatMap((run) => {
      const profile = applications[run.application]?.rungs[String(run.rung)];
      return run.node === node && profile ? [run.computeMs / profile.medianMs] : [];
    });
    if (ratios.length < ENOUGH_RUNS) return [node, 1];
    spreads.push(Math.log(Math.max(1, quantile(ratios, 0.84) / median(ratios))));
    return [node, median(ratios)];
  });
  const sigma = spreads.length > 0 ? Math.min(1, median(spreads)) : 0.1;
  return { nodeSlowdown: Object.fromEntries(slowdowns), sigma };
}

/** Means of what the controllers of `users` believe; each says only what it has learnt of its own platform. */
export function edgeTimes(
  rows: readonly { application: Application; row: ControllerRow }[],
): Pick<Measured, "edgeSlowdown" | "edgeCallMs"> & { nodeCallMs: number } {
  const mean = (values: readonly number[], none: number): number =>
    values.length === 0 ? none : values.reduce((a, b) => a + b, 0) / values.length;
  const own = rows.map(({ application, row }) => ({
    platform: application.platform,
    edge: row.edge.find(({ platform }) => platform === application.platform),
  }));
  const platforms = [...new Set(own.map(({ platform }) => platform))];
  const slowdowns = platforms.map((platform): [string, number] => {
    const found = own.flatMap(({ platform: one, edge }) => (one === platform && edge ? [edge.slowdown] : []));
    return [platform, mean(found, 1)];
  });
  return {
    edgeSlowdown: Object.fromEntries(slowdowns),
    edgeCallMs: mean(
      own.flatMap(({ edge }) => (edge ? [edge.overhead_ms] : [])),
      1,
    ),
    nodeCallMs: mean(
      rows.flatMap(({ row }) => row.nodes.map(({ link_ms }) => link_ms)),
      1,
    ),
  };
}

/** Slow-downs are put on the machines of the world once it stands (simulate.ts): a plant has one for all its edges. */
export function plantOf(nodes: readonly NodeRow[], measured: Measured): Plant {
  const way = (rttMs: number) => ({ rttMs: Math.max(LEAST_MS, rttMs), jitter: JITTER, mbitPerS: 0 });
  return {
    edge: { isolates: 1, slowdown: 1, call: way(measured.edgeCallMs) },
    nodes: nodes.map(({ node, concurrency }) => ({
      name: node,
      cores: concurrency,
      pace: 1,
      marginal: 1,
      link: way(measured.linkMs),
    })),
    object: way(measured.objectMs),
    coordinator: way(measured.objectMs),
    sigma: measured.sigma,
  };
}

/** What the agent announced, as the simulated agent announces it. */
export function registrationOf(row: NodeRow): NodeRegistration {
  const { node, agent_version, provider, device, concurrency, applications } = row;
  return { agentVersion: agent_version, bootId: `${node}-1`, provider, device, concurrency, applications };
}
