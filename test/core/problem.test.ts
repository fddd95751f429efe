import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { problemResponse, PROBLEM_TYPES, type ProblemBody } from "../../functions/api/problem.ts";
import { DystriError, ERRORS, type ErrorCode } from "../../protocol/errors.ts";

const CONTEXT = { requestId: "r-1", method: "POST", path: "/v1/infer/clothing", accept: null };

const lines: string[] = [];
beforeEach(() => {
  lines.length = 0;
  vi.spyOn(console, "error").mockImplementation((line: string) => void lines.push(line));
});
afterEach(() => vi.restoreAllMocks());

const bodyOf = async (response: Response): Promise<ProblemBody> => (await response.json()) as ProblemBody;

describe("problem", () => {
  it.each(Object.keys(ERRORS) as ErrorCode[])(
    "%s has the status, type and retry advice of the catalogue",
    async (code) => {
      const response = problemResponse(new DystriError(code, "what happened", { field: "f" }), CONTEXT);
      const { status, title, retry } = ERRORS[code];
      expect(response.status).toBe(status);
      expect(await bodyOf(response)).toMatchObject({
        type: PROBLEM_TYPES + code.replaceAll("_", "-"),
        title,
        status,
        detail: "what happened",
        error: "what happened",
        code,
        instance: "/requests/r-1",
        request_id: "r-1",
      });
      expect(response.headers.get("x-should-retry")).toBe(retry === "never" ? "false" : null);
      if (status === 504) expect(response.headers.get("x-should-retry")).toBe("false");
      expect(status === 429 || status === 503).toBe(response.headers.has("retry-after"));
      expect(status === 401).toBe(response.headers.has("www-authenticate"));
    },
  );

  it("says what is wrong, where, and what to do", async () => {
    const error = new DystriError("deadline_unmeetable", "needs 31 ms", {
      field: "query deadline_ms",
      value: "12",
      hint: "raise deadline_ms to 40",
      deadlineMs: 12,
      predictedMs: 31,
    });
    expect(await bodyOf(problemResponse(error, CONTEXT))).toMatchObject({
      field: "query deadline_ms",
      value: "12",
      hint: "raise deadline_ms to 40",
      deadline_ms: 12,
      predicted_ms: 31,
    });
  });

  it.each([
    ["/v1/infer/clothing", null, "application/problem+json"],
    ["/v2/models/clothing/infer", null, "application/json"],
    ["/v2/models/clothing/infer", "application/problem+json, */*", "application/problem+json"],
    ["/v2", null, "application/json"],
    ["/v22", null, "application/problem+json"],
  ])("of %s, Accept %s, is %s", (path, accept, type) => {
    const response = problemResponse(new DystriError("bad_request", "no"), { ...CONTEXT, path, accept });
    expect(response.headers.get("content-type")).toBe(type);
  });

  it("rounds the pause up to whole seconds for those who read no milliseconds", () => {
    const { headers } = problemResponse(new DystriError("overloaded", "full", { retryAfterMs: 1200.5 }), CONTEXT);
    expect(headers.get("retry-after")).toBe("2");
    expect(headers.get("retry-after-ms")).toBe("1201");
  });

  it("of an unknown exception tells the caller nothing and the operator everything, in one line", async () => {
    const response = problemResponse(new TypeError("secret of the house"), CONTEXT);
    expect(response.status).toBe(500);
    expect(JSON.stringify(await bodyOf(response))).not.toContain("secret of the house");
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      event: "internal",
      request_id: "r-1",
      method: "POST",
      path: "/v1/infer/clothing",
      error: "TypeError: secret of the house",
    });
    expect(lines[0]).not.toContain("\n");
  });

  it("of a client's mistake, or of a missed deadline, is not logged", () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      if (ERRORS[code].status === 500 || ERRORS[code].status === 503) continue;
      problemResponse(new DystriError(code, "no", { field: "f" }, new Error("cause")), CONTEXT);
    }
    expect(lines).toEqual([]);
  });

  it("of an error that crossed RPC is the same", async () => {
    const arrived = Object.assign(new Error("too late"), {
      name: "DystriError",
      code: "deadline_exceeded",
      details: { deadlineMs: 5 },
    });
    expect(await bodyOf(problemResponse(arrived, CONTEXT))).toMatchObject({
      code: "deadline_exceeded",
      deadline_ms: 5,
    });
    const unknown = Object.assign(new Error("?"), { name: "DystriError", code: "constructor", details: {} });
    expect(problemResponse(unknown, CONTEXT).status).toBe(500);
  });

  it("of an overloaded object asks for a pause", () => {
    const response = problemResponse(Object.assign(new Error("queue full"), { overloaded: true }), CONTEXT);
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("1");
  });

  it("of a key gives one answer whether it is unknown, wrong or revoked", async () => {
    const answers = ["no such user", "wrong secret", "revoked"].map((why) =>
      bodyOf(problemResponse(new DystriError("unauthenticated", why), CONTEXT)),
    );
    const [first, ...rest] = await Promise.all(answers);
    expect(first?.status).toBe(401);
    for (const answer of rest) expect(answer).toEqual(first);
  });
});
