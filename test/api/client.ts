/** Calls of the Worker under test, as its callers make them. */
import { env, exports } from "cloudflare:workers";
import type { ProblemBody } from "../../functions/api/problem.ts";

export const ORIGIN = "https://dystri.test";

/** Where the one application of catalogue.ts answers an image, answers tensors, and plans. */
export const INFER = "/v1/infer/tiny";
export const OIP = "/v2/models/tiny/infer";
export const PLAN = "/v1/plan/tiny";

export function call(path: string, init: RequestInit = {}): Promise<Response> {
  return exports.default.fetch(new Request(ORIGIN + path, init));
}

export function admin(path: string, body?: unknown): Promise<Response> {
  return call(path, {
    method: "POST",
    headers: { authorization: `Bearer ${(env as ApiEnv).DYSTRI_ADMIN_TOKEN}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

export type NewUser = { user: string; key: string; key_id: string };

export async function newUser(): Promise<NewUser> {
  const response = await admin("/v1/users");
  if (response.status !== 201) throw new Error(await response.text());
  return response.json();
}

export const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });

export async function problemOf(response: Response): Promise<ProblemBody> {
  return response.json();
}
