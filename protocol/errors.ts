/**
 * The error catalogue: every failure a caller can see, once. Errors are data. A `DystriError` is made where the
 * cause is known, crosses RPC by `name` and `code` (the class does not survive it), and becomes an RFC 9457 problem
 * at the surface. `retry` tells clients and our own callers what may be tried again.
 */

type Entry = {
  status: number;
  title: string;
  /** never: the same call fails again. same: later, at the same place. other: at once, at another tier or node. */
  retry: "never" | "same" | "other";
};

export const ERRORS = {
  bad_request: { status: 400, title: "The request is malformed", retry: "never" },
  bad_deadline: { status: 400, title: "The deadline is not usable", retry: "never" },
  bad_parameter: { status: 400, title: "A parameter is not usable", retry: "never" },
  empty_body: { status: 400, title: "The body is empty", retry: "never" },
  bad_image: { status: 400, title: "The image cannot be decoded", retry: "never" },
  bad_audio: { status: 400, title: "The sound cannot be read", retry: "never" },
  bad_tensor: { status: 400, title: "The tensor does not fit the model", retry: "never" },
  bad_json: { status: 400, title: "The body is not the JSON that was expected", retry: "never" },
  unauthenticated: { status: 401, title: "The API key is missing or not valid", retry: "never" },
  forbidden: { status: 403, title: "The key may not do this", retry: "never" },
  unknown_application: { status: 404, title: "No such application", retry: "never" },
  not_found: { status: 404, title: "No such resource", retry: "never" },
  method_not_allowed: { status: 405, title: "Method not allowed", retry: "never" },
  conflict: { status: 409, title: "The resource is in another state", retry: "never" },
  too_large: { status: 413, title: "The body is too large", retry: "never" },
  unsupported_media: { status: 415, title: "The media type is not supported", retry: "never" },
  upgrade_required: { status: 426, title: "This address speaks WebSocket only", retry: "never" },
  overloaded: { status: 429, title: "Too much work for the machines at the moment", retry: "same" },
  quota_exceeded: { status: 429, title: "The quota is used up", retry: "same" },
  client_gone: { status: 499, title: "The client closed the connection", retry: "never" },
  internal: { status: 500, title: "Something failed on our side", retry: "same" },
  runtime_init_failed: { status: 500, title: "The inference runtime could not be started", retry: "other" },
  not_implemented: { status: 501, title: "Not implemented", retry: "never" },
  not_ready: { status: 503, title: "Not ready", retry: "same" },
  deadline_unmeetable: { status: 504, title: "The deadline cannot be met", retry: "never" },
  deadline_exceeded: { status: 504, title: "The deadline has passed", retry: "never" },
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof ERRORS;

/** What a problem may say beyond its code. `field`, `value` and `hint` are for the person who has to mend it. */
export type ErrorDetails = {
  field?: string;
  value?: string;
  hint?: string;
  /** For 429: how long to wait. */
  retryAfterMs?: number;
  deadlineMs?: number;
  predictedMs?: number;
};

export class DystriError extends Error {
  override readonly name = "DystriError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, detail: string, details: ErrorDetails = {}, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}

/** Reads a DystriError that may have crossed RPC, where only `name`, `message` and own properties survive. */
export function asDystriError(thrown: unknown): DystriError | null {
  if (thrown instanceof DystriError) return thrown;
  if (!(thrown instanceof Error) || thrown.name !== "DystriError") return null;
  const { code, details } = thrown as Error & { code?: unknown; details?: unknown };
  if (typeof code !== "string" || !Object.hasOwn(ERRORS, code)) return null;
  return new DystriError(code as ErrorCode, thrown.message, (details ?? {}) as ErrorDetails, thrown);
}

/** A value from outside, cut to what an error message may quote. */
export function quote(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  const printable = text.replace(/[^\x20-\x7e]/g, "?");
  return printable.length > 80 ? `${printable.slice(0, 77)}...` : printable;
}
