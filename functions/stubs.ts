/**
 * Typed ways to every object and Worker. Stubs are taken as the interfaces of protocol/services.ts, which the classes
 * implement; the platform's own mapped RPC types do not carry discriminated unions. A stub is made anew for every
 * call: one that failed may stay broken.
 */
import { DystriError } from "../protocol/errors.ts";
import type { EdgeJob, RunResult } from "../protocol/inference.ts";
import {
  COORDINATOR_NAME,
  gatewayName,
  type CoordinatorRpc,
  type InferenceRpc,
  type NodeGatewayRpc,
  type UserControllerRpc,
} from "../protocol/services.ts";

type Objects = Pick<ApiEnv, "USER_CONTROLLER" | "NODE_GATEWAY" | "COORDINATOR">;

export function userController(env: Pick<Objects, "USER_CONTROLLER">, name: string): UserControllerRpc {
  return env.USER_CONTROLLER.getByName(name) as unknown as UserControllerRpc;
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
  const stub = (env as Record<string, InferenceStub | undefined>)[PREFIX + platform.toUpperCase()];
  if (!stub) throw new DystriError("internal", `no inference Worker is bound as ${PREFIX}${platform.toUpperCase()}`);
  return stub;
}

/** Every bound inference Worker with its platform, for readiness. */
export function inferenceWorkers(env: object): [platform: string, stub: InferenceStub][] {
  return Object.entries(env as Record<string, InferenceStub>)
    .filter(([name]) => name.startsWith(PREFIX))
    .map(([name, stub]) => [name.slice(PREFIX.length).toLowerCase(), stub]);
}
