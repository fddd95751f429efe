/** The applications as they are in models/, and the plants and users that the benches put them on. */
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { chain, chainReferenceMs } from "../../control/ladder.ts";
import type { Application } from "../../protocol/application.ts";
import { ROOT } from "../../scripts/workers.ts";
import { latentInputs, type InputTable } from "./inputs.ts";
import type { LinkSpec } from "./link.ts";
import type { Arrivals, User } from "./workload.ts";
import type { NodeSpec, Plant } from "./world.ts";

/** Every application of models/, by name. */
export function loadApplications(): Application[] {
  return globSync("models/*/app.json", { cwd: ROOT })
    .sort()
    .map((file) => JSON.parse(readFileSync(path.join(ROOT, file), "utf8")) as Application);
}

/** Inputs as hard as the evidence tables say, from a seed of their own. */
export function inputTables(applications: readonly Application[], seed: number): Map<string, InputTable> {
  return new Map(applications.map((application) => [application.name, latentInputs(application, seed)]));
}

/** Inside one place: a call of a neighbouring Worker, of an object, of the coordinator somewhere else; a node in the same town. */
export const CALL: LinkSpec = { rttMs: 0.4, jitter: 0.2, mbitPerS: 0 };
export const OBJECT: LinkSpec = { rttMs: 1.5, jitter: 0.3, mbitPerS: 0 };
export const FAR: LinkSpec = { rttMs: 60, jitter: 0.3, mbitPerS: 0 };
export const TOWN: LinkSpec = { rttMs: 6, jitter: 0.3, mbitPerS: 50 };

export function nodes(count: number, over: Partial<NodeSpec> = {}): NodeSpec[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `node-${i + 1}`,
    cores: 1,
    pace: 1,
    marginal: 0.6,
    link: TOWN,
    ...over,
  }));
}

export function plantOf(nodeSpecs: NodeSpec[], over: Partial<Plant> = {}): Plant {
  return {
    edge: { isolates: 1, slowdown: 1.3, call: CALL },
    nodes: nodeSpecs,
    object: OBJECT,
    coordinator: FAR,
    sigma: 0.1,
    ...over,
  };
}

/** Users of one application with the same deadline; `arrivals` says when each one's requests come. */
export function usersOf(
  application: Application,
  count: number,
  deadlineMs: number,
  arrivals: (index: number) => Arrivals,
): User[] {
  return Array.from({ length: count }, (_, index) => ({
    index,
    name: `user-${index + 1}`,
    application,
    arrivals: arrivals(index),
    deadlineMs,
    weight: 1,
  }));
}

/** Requests a second that the machines could answer, each with its deepest rung, one at a time. */
export function deepestPerS(application: Application, plant: Plant): number {
  const ms = (tier: "edge" | "node"): number => {
    const rung = application.rungs.findLastIndex(({ tiers }) => tiers.includes(tier));
    return rung < 0
      ? Number.POSITIVE_INFINITY
      : chainReferenceMs(application, chain(application, rung, "input") ?? [], tier);
  };
  const edge = (1000 * plant.edge.isolates) / (ms("edge") * plant.edge.slowdown);
  return plant.nodes.reduce((sum, { cores, pace }) => sum + (1000 * cores) / (ms("node") * pace), edge);
}
