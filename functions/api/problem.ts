/**
 * Errors on the wire: one body that RFC 9457 readers and Open Inference Protocol clients both understand, with the
 * status and the headers that make clients' retries do the right thing.
 */
import { asDystriError, DystriError, ERRORS, type ErrorCode } from "../../protocol/errors.ts";

export const PROBLEM_TYPES = "https://dystri.dev/problems/";

/** How long to wait where the cause does not say. */
const DEFAULT_RETRY_AFTER_MS = 1000;

/** What a problem needs to know of the request it answers. */
export type ProblemContext = { requestId: string; method: string; path: string; accept: string | null };

export type ProblemBody = {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  /** The Open Inference Protocol's one required member: the same text as `detail`. */
  error: string;
  code: ErrorCode;
  request_id: string;
  field?: string;
  value?: string;
  hint?: string;
  deadline_ms?: number;
  predicted_ms?: number;
  retry_after_ms?: number;
};

/**
 * Whatever was thrown, as the error to answer with. An unknown exception becomes `internal` and is logged as one line
 * of JSON, without bodies and headers; its text does not reach the caller.
 */
export function errorOf(thrown: unknown, context: ProblemContext): DystriError {
  const known = asDystriError(thrown);
  if (known) {
    if (isOurFault(known.code)) log(known.code, known.cause ?? known, context);
    return known.code === "unauthenticated" && known.details.field === undefined ? invalidKey() : known;
  }
  if (isOverloadedObject(thrown)) {
    log("object_overloaded", thrown, context);
    return new DystriError(
      "overloaded",
      "the user's controller is overloaded",
      { hint: "retry after a pause" },
      thrown,
    );
  }
  log("internal", thrown, context);
  return new DystriError(
    "internal",
    `something failed on our side; quote request ${context.requestId} to the operator`,
  );
}

/** One text for unknown, wrong and revoked keys, so that an answer does not tell which of them it was. */
export function invalidKey(): DystriError {
  return new DystriError("unauthenticated", "the API key is not valid", {
    field: "header Authorization",
    value: "an API key",
    hint: "send Authorization: Bearer <key> with a key that is in force",
  });
}

export function problemBody(error: DystriError, requestId: string): ProblemBody {
  const { status, title } = ERRORS[error.code];
  const { field, value, hint, deadlineMs, predictedMs } = error.details;
  const retryAfterMs = retryAfterMsOf(error);
  return {
    type: PROBLEM_TYPES + error.code.replaceAll("_", "-"),
    title,
    status,
    detail: error.message,
    instance: `/requests/${requestId}`,
    error: error.message,
    code: error.code,
    request_id: requestId,
    ...(field === undefined ? {} : { field }),
    ...(value === undefined ? {} : { value }),
    ...(hint === undefined ? {} : { hint }),
    ...(deadlineMs === undefined ? {} : { deadline_ms: deadlineMs }),
    ...(predictedMs === undefined ? {} : { predicted_ms: predictedMs }),
    ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
  };
}

/** The whole response to whatever was thrown. */
export function problemResponse(
  thrown: unknown,
  context: ProblemContext,
  extra: Record<string, unknown> = {},
): Response {
  const error = errorOf(thrown, context);
  const { status, retry } = ERRORS[error.code];
  const headers = new Headers({
    "content-type": contentType(context),
    "cache-control": "no-store",
  });
  // Among them 504, a missed deadline: the same call a moment later is late again, and SDKs would retry it by themselves.
  if (retry === "never") headers.set("x-should-retry", "false");
  const retryAfterMs = retryAfterMsOf(error);
  if (retryAfterMs !== undefined) {
    headers.set("retry-after", String(Math.max(1, Math.ceil(retryAfterMs / 1000))));
    headers.set("retry-after-ms", String(Math.ceil(retryAfterMs)));
  }
  if (status === 401) headers.set("www-authenticate", `Bearer realm="dystri"`);
  return new Response(JSON.stringify({ ...problemBody(error, context.requestId), ...extra }), { status, headers });
}

/** KServe's client reads error bodies of exactly application/json; elsewhere the media type of RFC 9457. */
function contentType({ path, accept }: ProblemContext): string {
  const problem = "application/problem+json";
  const inferenceProtocol = path === "/v2" || path.startsWith("/v2/");
  return inferenceProtocol && !accept?.includes(problem) ? "application/json" : problem;
}

function retryAfterMsOf(error: DystriError): number | undefined {
  if (ERRORS[error.code].status !== 429 && error.code !== "not_ready") return undefined;
  return error.details.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS;
}

/** Missed deadlines and what is not implemented are answers, not faults. */
function isOurFault(code: ErrorCode): boolean {
  const { status } = ERRORS[code];
  return status === 500 || status === 503;
}

/** A Durable Object that is asked for more than it can do throws an error with this mark. */
function isOverloadedObject(thrown: unknown): boolean {
  return thrown instanceof Error && (thrown as { overloaded?: unknown }).overloaded === true;
}

function log(event: string, thrown: unknown, { requestId, method, path }: ProblemContext): void {
  const error =
    thrown instanceof Error
      ? { error: `${thrown.name}: ${thrown.message}`, stack: thrown.stack }
      : { error: String(thrown) };
  console.error(JSON.stringify({ event, component: "api", request_id: requestId, method, path, ...error }));
}
