/** Requests that are refused, and what must be said of each. */
import { expect } from "vitest";
import { greyPng } from "../support/images.ts";
import { bearer, call, newUser, problemOf, type NewUser } from "./client.ts";

/** A user, and a picture that the application takes. */
export type Caller = NewUser & { picture: Uint8Array };

/** A caller of one's own. */
export async function newCaller(): Promise<Caller> {
  return { ...(await newUser()), picture: await greyPng(8, 8, (x) => x * 30) };
}

/** A request and the problem it meets: `field` is what is wrong, `value` what was found there. */
export type BadInput = {
  name: string;
  path: string;
  init: (caller: Caller) => RequestInit;
  status: number;
  code: string;
  field: string;
  value?: string;
};

/** Sends it and expects to be told what is wrong, where, and what to do, without the key being repeated. */
export async function expectRefusal(
  caller: Caller,
  { path, init, status, code, field, value }: BadInput,
): Promise<void> {
  const response = await call(path, init(caller));
  const problem = await problemOf(response);
  expect(problem, JSON.stringify(problem)).toMatchObject({
    status,
    code,
    field,
    ...(value === undefined ? {} : { value }),
  });
  expect(response.status).toBe(status);
  expect(problem.value).toBeTypeOf("string");
  expect(problem.hint?.length).toBeGreaterThan(5);
  expect(problem.detail).toBe(problem.error);
  expect(problem.instance).toBe(`/requests/${response.headers.get("x-request-id")}`);
  expect(response.headers.get("x-should-retry")).toBe("false");
  expect(response.headers.get("content-type")).toBe(
    path.startsWith("/v2") ? "application/json" : "application/problem+json",
  );
  if (status === 405) expect(response.headers.get("allow")).toBeTruthy();
  expect(JSON.stringify(problem)).not.toContain(caller.key);
}

/** The picture itself. */
export const image = ({ key, picture }: Caller): RequestInit => ({
  method: "POST",
  headers: { ...bearer(key), "content-type": "image/png" },
  body: picture,
});

/** The picture under these headers, with no content type of its own. */
export const withHeaders =
  (headers: Record<string, string>) =>
  ({ key, picture }: Caller): RequestInit => ({
    method: "POST",
    headers: { ...bearer(key), ...headers },
    body: picture,
  });

/** This text in place of an inference request. */
export const json =
  (body: string, headers: Record<string, string> = {}) =>
  ({ key }: Caller): RequestInit => ({
    method: "POST",
    headers: { ...bearer(key), ...headers },
    body,
  });

/** An inference request with one good tensor; `over` is laid over the tensor, `request` over the request. */
export const tensor = (over: Record<string, unknown> = {}, request: Record<string, unknown> = {}): string =>
  JSON.stringify({
    inputs: [{ name: "image", datatype: "UINT8", shape: [1, 1, 8, 8], data: new Array(64).fill(7), ...over }],
    ...request,
  });
