/**
 * The one parser of deadlines, for every route. A deadline is relative: milliseconds from the arrival of the request.
 * There is no standard HTTP header for it, so the customs of several systems are read; the first carrier found wins,
 * and one that is found but unusable is an error, never ignored.
 */
import { DystriError, quote } from "./errors.ts";
import { MAX_DEADLINE_MS, MIN_DEADLINE_MS } from "./limits.ts";

/** Where a request may carry a wish. Each part may be absent: raw bodies have no parameters. */
export type Carriers = {
  /** Value of a header by lower-case name; null when absent. */
  header(name: string): string | null;
  query?: URLSearchParams;
  /** `parameters` of an Open Inference Protocol request. */
  parameters?: Readonly<Record<string, unknown>>;
};

export type DeadlineBounds = {
  /** Of the application, when the request carries none. */
  defaultMs: number;
  /** Of the application: longer ones are cut to it. */
  maxMs: number;
};

export type Deadline = {
  deadlineMs: number;
  /** The carrier that was read; null when the application's default applies. */
  carrier: string | null;
  /** To be sent as `Preference-Applied` when the `Prefer` header was the carrier and was honoured as it stands. */
  preferenceApplied?: string;
};

type Carrier = {
  name: string;
  /** What the person who has to mend it should write. */
  hint: string;
  /** Undefined when the request does not carry it. */
  read(from: Carriers): unknown;
  /** Milliseconds; NaN when the value cannot be read. */
  toMs(value: unknown): number;
};

const inHeader =
  (name: string) =>
  (from: Carriers): unknown =>
    from.header(name) ?? undefined;

/** First found wins, from the top. */
const CARRIERS: readonly Carrier[] = [
  {
    name: "parameters.deadline_ms",
    hint: "send milliseconds as a number, such as 80",
    read: (from) => from.parameters?.["deadline_ms"],
    toMs: numeral,
  },
  {
    name: "query deadline_ms",
    hint: "send milliseconds once, such as ?deadline_ms=80",
    read: (from) => {
      const values = from.query?.getAll("deadline_ms") ?? [];
      return values.length > 1 ? values.join(", ") : values[0];
    },
    toMs: numeral,
  },
  {
    name: "parameters.timeout",
    hint: "send microseconds as a number, such as 80000; or use deadline_ms",
    read: (from) => from.parameters?.["timeout"],
    toMs: (value) => numeral(value) / 1000,
  },
  {
    name: "header Dystri-Deadline-Ms",
    hint: "send milliseconds, such as 80",
    read: inHeader("dystri-deadline-ms"),
    toMs: numeral,
  },
  {
    name: "header grpc-timeout",
    hint: "send at most 8 digits and a unit of H, M, S, m, u or n, such as 80m",
    read: inHeader("grpc-timeout"),
    toMs: grpcTimeout,
  },
  {
    name: "header Connect-Timeout-Ms",
    hint: "send milliseconds, such as 80",
    read: inHeader("connect-timeout-ms"),
    toMs: numeral,
  },
  {
    name: "header x-request-timeout-seconds",
    hint: "send seconds, such as 0.08",
    read: inHeader("x-request-timeout-seconds"),
    toMs: (value) => numeral(value) * 1000,
  },
  {
    name: "header x-slo-ttft-ms",
    hint: "send milliseconds, such as 80",
    read: inHeader("x-slo-ttft-ms"),
    toMs: numeral,
  },
  {
    name: "header Cancel-After",
    hint: "send seconds or a duration, such as 30, 1m or 1m30s",
    read: inHeader("cancel-after"),
    toMs: duration,
  },
  {
    name: "header Prefer",
    hint: "send whole seconds, such as wait=10",
    read: (from) => waitPreference(from.header("prefer")),
    toMs: wholeSeconds,
  },
];

/**
 * Reads the deadline of a request. Throws DystriError bad_deadline, naming the carrier, the value and the remedy, when
 * the first carrier found is not a number of milliseconds within MIN_DEADLINE_MS and MAX_DEADLINE_MS. A usable one is
 * cut to the application's longest; `X-Stainless-Timeout`, after which the client's SDK gives up, only ever shortens.
 */
export function readDeadline(from: Carriers, bounds: DeadlineBounds): Deadline {
  const limitMs = Math.min(bounds.maxMs, stainlessLimitMs(from));
  for (const carrier of CARRIERS) {
    const value = carrier.read(from);
    if (value === undefined) continue;
    const asked = checked(carrier, value);
    const deadline: Deadline = { deadlineMs: Math.min(asked, limitMs), carrier: carrier.name };
    if (carrier.name === "header Prefer" && asked <= limitMs) deadline.preferenceApplied = `wait=${asked / 1000}`;
    return deadline;
  }
  return { deadlineMs: Math.min(bounds.defaultMs, limitMs), carrier: null };
}

function checked(carrier: Carrier, value: unknown): number {
  // Rounded to the microsecond: 0.0571 s is 57.1 ms, whatever binary fractions make of it.
  const ms = Math.round(carrier.toMs(value) * 1000) / 1000;
  if (ms >= MIN_DEADLINE_MS && ms <= MAX_DEADLINE_MS) return ms;
  const wrong = Number.isNaN(ms)
    ? "cannot be read"
    : ms <= 0
      ? "is not in the future"
      : `is outside ${MIN_DEADLINE_MS} to ${MAX_DEADLINE_MS} ms`;
  throw new DystriError("bad_deadline", `the deadline ${quote(value)} of ${carrier.name} ${wrong}`, {
    field: carrier.name,
    value: quote(value),
    hint: `${carrier.hint}; deadlines are relative, ${MIN_DEADLINE_MS} to ${MAX_DEADLINE_MS} ms from arrival`,
  });
}

/** Plain decimal notation only: no sign but a minus (so that −5 is told from garbage), no exponent, no hexadecimal. */
function numeral(value: unknown): number {
  if (typeof value === "number") return value;
  return typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
}

function wholeSeconds(value: unknown): number {
  return typeof value === "string" && /^\d+$/.test(value) ? Number(value) * 1000 : Number.NaN;
}

const GRPC_UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

function grpcTimeout(value: unknown): number {
  const parts = typeof value === "string" ? /^(\d{1,8})([HMSmun])$/.exec(value) : null;
  return parts ? Number(parts[1]) * (GRPC_UNIT_MS[parts[2] as string] as number) : Number.NaN;
}

function duration(value: unknown): number {
  if (typeof value !== "string") return Number.NaN;
  const parts = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$/.exec(value);
  if (!parts || value === "") return numeral(value) * 1000;
  const [hours = "0", minutes = "0", seconds = "0"] = parts.slice(1) as (string | undefined)[];
  return Number(hours) * 3_600_000 + Number(minutes) * 60_000 + Number(seconds) * 1000;
}

/**
 * The value of `wait` in a Prefer header (RFC 7240: preferences separated by commas, parameters by semicolons).
 * Undefined when there is none, or when it has no value: a preference without a meaning here may be passed over.
 */
function waitPreference(header: string | null): string | undefined {
  for (const preference of header?.split(",") ?? []) {
    const parts = /^\s*wait\s*=\s*("?)([^";]*)\1\s*(?:;.*)?$/i.exec(preference);
    if (parts) return parts[2]?.trim();
  }
  return undefined;
}

/** The SDK truncates to whole seconds, so that its 0 means anything below one second. */
function stainlessLimitMs(from: Carriers): number {
  const value = from.header("x-stainless-timeout");
  if (value === null) return Number.POSITIVE_INFINITY;
  const ms = wholeSeconds(value);
  if (Number.isNaN(ms)) {
    throw new DystriError("bad_deadline", `X-Stainless-Timeout ${quote(value)} cannot be read`, {
      field: "header X-Stainless-Timeout",
      value: quote(value),
      hint: "send whole seconds, such as 1, or leave the header out",
    });
  }
  return Math.max(ms, 1000);
}
