/**
 * Typed ways to every object and Worker. Stubs are taken as the interfaces of protocol/services.ts, which the classes
 * implement; the platform's own mapped RPC types do not carry discriminated unions. A stub is made anew for every
 * call: one that failed may stay broken.
 */
import { DystriError } from "../protocol/errors.ts";
import type { EdgeJob, RunResult } from "../protocol/inference.ts";
import type { Insight } from "../protocol/insight.ts";
import { fromJsonText, toJsonText } from "../protocol/json-text.ts";
import type { PlanReply, PlanRequest, Report } from "../protocol/plan.ts";
import {
  COORDINATOR_NAME,
  gatewayName,
  type CoordinatorRpc,
  type InferenceRpc,
  type NodeGatewayRpc,
  type UserControllerRpc,
} from "../protocol/services.ts";

type Objects = Pick<ApiEnv, "USER_CONTROLLER" | "NODE_GATEWAY" | "COORDINATOR">;

export type UserControllerStub = Omit<UserControllerRpc, "plan" | "report" | "insight"> & {
  plan(request: PlanRequest, reports?: readonly Report[]): Promise<PlanReply>;
  report(reports: readonly Report[]): Promise<void>;
  insight(secretDigest: string): Promise<Insight | null>;
};

export function userController(env: Pick<Objects, "USER_CONTROLLER">, name: string): UserControllerStub {
  const stub = env.USER_CONTROLLER.getByName(name) as unknown as UserControllerRpc;
  return {
    plan: async (request, reports = []) => {
      const told = reports.length > 0 ? toJsonText([...reports]) : null;
      return fromJsonText(await stub.plan(toJsonText(request), told));
    },
    report: (reports) => stub.report(toJsonText([...reports])),
    insight: async (digest) => {
      const text = await stub.insight(digest);
      return text === null ? null : fromJsonText(text);
    },
    addKey: (key) => stub.addKey(key),
    revokeKey: (id) => stub.revokeKey(id),
    keys: () => stub.keys(),
  };
}

/** `name`: the `parent` of the last view, where there is one. */
export function coordinator(
  env: Pick<Objects, "COORDINATOR"> & { DYSTRI_REGION?: string },
  name: string = COORDINATOR_NAME,
): CoordinatorRpc {
  return env.COORDINATOR.getByName(name, placement(env.DYSTRI_REGION)) as unknown as CoordinatorRpc;
}

export function nodeGateway(
  env: Pick<Objects, "NODE_GATEWAY"> & { DYSTRI_REGION: string },
  node: string,
): NodeGatewayRpc & { fetch(request: Request): Promise<Response> } {
  const name = gatewayName(env.DYSTRI_REGION, node);
  const stub = env.NODE_GATEWAY.getByName(name, placement(env.DYSTRI_REGION));
  return stub as unknown as ReturnType<typeof nodeGateway>;
}

/** The platform's names of places; it reads a hint at an object's first call only, and may not follow it. */
const LOCATION_HINTS: readonly DurableObjectLocationHint[] = [
  "wnam",
  "enam",
  "sam",
  "weur",
  "eeur",
  "apac",
  "apac-ne",
  "apac-se",
  "oc",
  "afr",
  "me",
];

/** Where an object of this region should live. A region that the platform has no name for says nothing: the first caller decides. */
function placement(region: string | undefined): DurableObjectNamespaceGetDurableObjectOptions {
  const locationHint = LOCATION_HINTS.find((hint) => hint === region);
  return locationHint === undefined ? {} : { locationHint };
}

export type InferenceStub = Omit<InferenceRpc, "run"> & { run(ticket: string, job: EdgeJob): Promise<RunResult> };

const PREFIX = "INFERENCE_";

/** The inference Worker of a platform, bound as INFERENCE_<PLATFORM>. Throws DystriError internal when none is: a deployment mistake. */
export function inference(env: object, platform: string): InferenceStub {
  const name = PREFIX + platform.toUpperCase();
  const stub = (env as Record<string, InferenceRpc | undefined>)[name];
  if (!stub) throw new DystriError("internal", `no inference Worker is bound as ${name}`);
  return {
    run: (ticket, job) => stub.run(ticket, { ...job, plan: toJsonText(job.plan) }),
    cancel: (ticket) => stub.cancel(ticket),
    warm: () => stub.warm(),
    debug: () => stub.debug(),
  };
}
