import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readDeadline, type Carriers } from "../../protocol/deadline.ts";
import { DystriError } from "../../protocol/errors.ts";
import { MAX_DEADLINE_MS, MIN_DEADLINE_MS } from "../../protocol/limits.ts";

const BOUNDS = { defaultMs: 200, maxMs: 60_000 };

type Given = { headers?: Record<string, string>; query?: string; parameters?: Record<string, unknown> };

function carriers({ headers = {}, query, parameters }: Given): Carriers {
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return {
    header: (name) => lower.get(name) ?? null,
    ...(query === undefined ? {} : { query: new URLSearchParams(query) }),
    ...(parameters ? { parameters } : {}),
  };
}

function problemOf(given: Given): DystriError {
  try {
    const deadline = readDeadline(carriers(given), BOUNDS);
    throw new Error(`read as ${JSON.stringify(deadline)}`);
  } catch (error) {
    if (!(error instanceof DystriError)) throw error;
    return error;
  }
}

/** One of each, in the order of precedence, all different. */
const EACH: [carrier: string, given: Given, ms: number][] = [
  ["parameters.deadline_ms", { parameters: { deadline_ms: 81 } }, 81],
  ["query deadline_ms", { query: "deadline_ms=82" }, 82],
  ["parameters.timeout", { parameters: { timeout: 83_000 } }, 83],
  ["header Dystri-Deadline-Ms", { headers: { "Dystri-Deadline-Ms": "84" } }, 84],
  ["header grpc-timeout", { headers: { "grpc-timeout": "85m" } }, 85],
  ["header Connect-Timeout-Ms", { headers: { "Connect-Timeout-Ms": "86" } }, 86],
  ["header x-request-timeout-seconds", { headers: { "x-request-timeout-seconds": "0.087" } }, 87],
  ["header x-slo-ttft-ms", { headers: { "x-slo-ttft-ms": "88" } }, 88],
  ["header Cancel-After", { headers: { "Cancel-After": "1m" } }, 60_000],
  ["header Prefer", { headers: { Prefer: "wait=9" } }, 9000],
];

describe("deadline", () => {
  it.each(EACH)("is read from %s", (carrier, given, deadlineMs) => {
    expect(readDeadline(carriers(given), BOUNDS)).toMatchObject({ carrier, deadlineMs });
  });

  it("is the application's default when nothing carries one", () => {
    expect(readDeadline(carriers({}), BOUNDS)).toEqual({ deadlineMs: 200, carrier: null });
  });

  it("comes from the first carrier of the table, whatever follows", () => {
    for (let first = 0; first < EACH.length; first++) {
      const rest = EACH.slice(first);
      const all: Given = {
        headers: Object.assign({}, ...rest.map(([, given]) => given.headers ?? {})) as Record<string, string>,
        parameters: Object.assign({}, ...rest.map(([, given]) => given.parameters ?? {})) as Record<string, unknown>,
        ...(rest.some(([, given]) => given.query) ? { query: "deadline_ms=82" } : {}),
      };
      const [carrier, , deadlineMs] = rest[0] as (typeof EACH)[number];
      expect(readDeadline(carriers(all), BOUNDS)).toMatchObject({ carrier, deadlineMs });
    }
  });

  it.each([
    ["80000000n", 80],
    ["80000u", 80],
    ["2S", 2000],
    ["1M", 60_000],
  ])("understands grpc-timeout %s", (value, deadlineMs) => {
    expect(readDeadline(carriers({ headers: { "grpc-timeout": value } }), BOUNDS).deadlineMs).toBe(deadlineMs);
  });

  it.each([
    ["30", 30_000],
    ["30s", 30_000],
    ["0.5s", 500],
    ["1m", 60_000],
    ["0m5s", 5000],
  ])("understands Cancel-After %s", (value, deadlineMs) => {
    expect(readDeadline(carriers({ headers: { "Cancel-After": value } }), BOUNDS).deadlineMs).toBe(deadlineMs);
  });

  it.each([
    ["wait=10", 10_000],
    ['respond-async, wait="10"', 10_000],
    ["Wait = 10; strict", 10_000],
    ["respond-async", 200],
    ["wait", 200],
    ["waiting=3", 200],
  ])("understands Prefer: %s", (value, deadlineMs) => {
    expect(readDeadline(carriers({ headers: { Prefer: value } }), BOUNDS).deadlineMs).toBe(deadlineMs);
  });

  it("says which preference was applied, unless it was cut", () => {
    expect(readDeadline(carriers({ headers: { Prefer: "wait=10" } }), BOUNDS).preferenceApplied).toBe("wait=10");
    expect(readDeadline(carriers({ headers: { Prefer: "wait=90" } }), BOUNDS)).toEqual({
      carrier: "header Prefer",
      deadlineMs: 60_000,
    });
  });

  it("is cut to the application's longest", () => {
    expect(readDeadline(carriers({ query: "deadline_ms=600000" }), BOUNDS).deadlineMs).toBe(60_000);
  });

  it("keeps fractions and numeric text", () => {
    expect(readDeadline(carriers({ query: "deadline_ms=12.5" }), BOUNDS).deadlineMs).toBe(12.5);
    expect(readDeadline(carriers({ parameters: { deadline_ms: "80" } }), BOUNDS).deadlineMs).toBe(80);
    expect(readDeadline(carriers({ headers: { "x-request-timeout-seconds": "0.0571" } }), BOUNDS).deadlineMs).toBe(
      57.1,
    );
  });

  it("is shortened, never set, by the time after which the client's SDK gives up", () => {
    const sdk = (seconds: string, query?: string): Given => ({
      headers: { "X-Stainless-Timeout": seconds },
      ...(query ? { query } : {}),
    });
    expect(readDeadline(carriers(sdk("1", "deadline_ms=5000")), BOUNDS).deadlineMs).toBe(1000);
    expect(readDeadline(carriers(sdk("9", "deadline_ms=5000")), BOUNDS).deadlineMs).toBe(5000);
    expect(readDeadline(carriers(sdk("600")), BOUNDS)).toEqual({ deadlineMs: 200, carrier: null });
    // Truncated by the SDK: anything below a second.
    expect(readDeadline(carriers(sdk("0", "deadline_ms=5000")), BOUNDS).deadlineMs).toBe(1000);
    expect(problemOf(sdk("soon")).details.field).toBe("header X-Stainless-Timeout");
  });

  const GARBAGE = [
    "",
    "soon",
    "NaN",
    "Infinity",
    "-Infinity",
    "0x50",
    "1e3",
    "80ms",
    "80,90",
    "８０",
    "--5",
    "1.",
    ".5",
    "null",
  ];
  it.each(GARBAGE)("refuses %j, naming carrier, value and remedy", (value) => {
    for (const [carrier, given] of [
      ["query deadline_ms", { query: `deadline_ms=${encodeURIComponent(value)}` }],
      ["parameters.deadline_ms", { parameters: { deadline_ms: value } }],
      ["header Dystri-Deadline-Ms", { headers: { "Dystri-Deadline-Ms": value } }],
      ["header x-slo-ttft-ms", { headers: { "x-slo-ttft-ms": value } }],
      ["header Connect-Timeout-Ms", { headers: { "Connect-Timeout-Ms": value } }],
      ["header Prefer", { headers: { Prefer: `wait=${value}` } }],
    ] satisfies [string, Given][]) {
      if (carrier === "header Prefer" && value === "80,90") continue; // Two preferences, the first of which is fine.
      const problem = problemOf(given);
      expect(problem.code).toBe("bad_deadline");
      expect(problem.details.field).toBe(carrier);
      expect(problem.details.value).toBeDefined();
      expect(problem.details.hint).toMatch(/send/);
    }
  });

  it.each([0, -0, -5, 0.5, MIN_DEADLINE_MS - 0.001, MAX_DEADLINE_MS + 1, 1e12, Number.NaN, Number.POSITIVE_INFINITY])(
    "refuses %d",
    (value) => {
      expect(problemOf({ parameters: { deadline_ms: value } }).code).toBe("bad_deadline");
    },
  );

  it.each([true, null, [80], { ms: 80 }])("refuses a parameter that is no number: %j", (value) => {
    expect(problemOf({ parameters: { deadline_ms: value } }).code).toBe("bad_deadline");
  });

  it.each(["80", "m", "123456789m", "80 m", "-80m", "80x", "0m"])("refuses grpc-timeout %j", (value) => {
    expect(problemOf({ headers: { "grpc-timeout": value } }).details.field).toBe("header grpc-timeout");
  });

  it("refuses one that is given twice, rather than guess", () => {
    expect(problemOf({ query: "deadline_ms=80&deadline_ms=90" }).details.value).toBe("80, 90");
  });

  it("is within its bounds or a bad_deadline, whatever is sent", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.double().map(String), fc.integer().map(String)),
        fc.constantFrom(...EACH.keys()),
        (value, index) => {
          const [, { headers, query, parameters }] = EACH[index] as (typeof EACH)[number];
          const given: Given = headers
            ? { headers: { [Object.keys(headers)[0] as string]: value } }
            : query
              ? { query: `deadline_ms=${encodeURIComponent(value)}` }
              : { parameters: { [Object.keys(parameters ?? {})[0] as string]: value } };
          try {
            const { deadlineMs } = readDeadline(carriers(given), BOUNDS);
            expect(deadlineMs).toBeGreaterThanOrEqual(MIN_DEADLINE_MS);
            expect(deadlineMs).toBeLessThanOrEqual(BOUNDS.maxMs);
          } catch (error) {
            if (!(error instanceof DystriError)) throw error;
            expect(error.code).toBe("bad_deadline");
          }
        },
      ),
    );
  });
});
