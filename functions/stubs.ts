/**
 * Typed ways to every object and Worker. Stubs are taken as the interfaces of protocol/services.ts, which the classes
 * implement; the platform's own mapped RPC types do not carry discriminated unions. A stub is made anew for every
 * call: one that failed may stay broken.
 */
import { DystriError } from "../protocol/errors.ts";
import type { EdgeJob, EdgeJobMessage, RunResult } from "../protocol/inference.ts";
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

export type UserControllerStub = Omit<UserControllerRpc, "plan" | "report"> & {
  plan(request: PlanRequest): Promise<PlanReply>;
  report(report: Report): Promise<void>;
};

export function userController(env: Pick<Objects, "USER_CONTROLLER">, name: string): UserControllerStub {
  const stub = env.USER_CONTROLLER.getByName(name) as unknown as UserControllerRpc;
  return {
    plan: async (request) => fromJsonText(await stub.plan(toJsonText(request))),
    report: (report) => stub.report(toJsonText(report)),
    addKey: (key) => stub.addKey(key),
    revokeKey: (id) => stub.revokeKey(id),
    keys: () => stub.keys(),
  };
}

export function coordinator(env: Pick<Objects, "COORDINATOR">): CoordinatorRpc {
  return env.COORDINATOR.getByName(COORDINATOR_NAME) as unknown as CoordinatorRpc;
}

export function nodeGateway(
  env: Pick<Objects, "NODE_GATEWAY"> & { DYSTRI_REGION: string },
  node: string,
): NodeGatewayRpc & { fetch(request: Request): Promise<Response> } {
  return env.NODE_GATEWAY.getByName(gatewayName(env.DYSTRI_REGION, node)) as unknown as ReturnType<typeof nodeGateway>;
}

/** A job handle whose calls are pipelined: `open(job).result()` is one journey. Disposing it lets the callee go. */
export type RemoteJob = { result(): Promise<RunResult>; cancel(): Promise<void> } & Disposable;

export type InferenceStub = Omit<InferenceRpc, "open"> & { open(job: EdgeJob): RemoteJob };

const PREFIX = "INFERENCE_";

/** The inference Worker of a platform, bound as INFERENCE_<PLATFORM>. Throws DystriError internal when none is: a deployment mistake. */
export function inference(env: object, platform: string): InferenceStub {
  const name = PREFIX + platform.toUpperCase();
  const stub = (
    env as Record<string, (Omit<InferenceRpc, "open"> & { open(job: EdgeJobMessage): RemoteJob }) | undefined>
  )[name];
  if (!stub) throw new DystriError("internal", `no inference Worker is bound as ${name}`);
  return {
    open: (job) => stub.open({ ...job, plan: toJsonText(job.plan) }),
    warm: () => stub.warm(),
    debug: () => stub.debug(),
  };
}
