/** The running service as its users see it: one key each, their samples, and what came back for one request. */
import { encodeRequest } from "../lib/http-connection.ts";
import type { Outcome, Status } from "../simulator/records.ts";
import type { Offered, User } from "../simulator/workload.ts";
import { queryOf, type LivePolicy } from "./policies.ts";
import type { Sample, Samples } from "./samples.ts";

/** Of a 200: the fields that are read here (functions/api/routes/infer). */
export type InferReply = {
  label: string;
  exit: number;
  tier: "edge" | "node";
  node: string | null;
  predicted_ms: number;
  total_ms: number;
  compute_ms?: number;
  degraded: boolean;
};

export class Service {
  readonly url: string;
  readonly #keys: readonly string[];
  readonly #samples: ReadonlyMap<string, Samples>;
  readonly #nodes: readonly string[];

  /** `keys` by index of the user; `nodes` in the order that outcomes number them. */
  constructor(url: string, keys: readonly string[], samples: ReadonlyMap<string, Samples>, nodes: readonly string[]) {
    this.url = url;
    this.#keys = keys;
    this.#samples = samples;
    this.#nodes = nodes;
  }

  sample({ user, input }: Pick<Offered, "user" | "input">): Sample {
    const found = this.#samples.get(user.application.name)?.samples[input];
    if (!found) throw new RangeError(`${user.application.name} has no sample ${input}`);
    return found;
  }

  samplesOf(user: User): number {
    return this.#samples.get(user.application.name)?.samples.length ?? 0;
  }

  key({ user }: Pick<Offered, "user">): string {
    const key = this.#keys[user.index];
    if (key === undefined) throw new RangeError(`${user.name} has no key`);
    return key;
  }

  /** The request's bytes, with the deadline that the service is told. */
  encode(request: Pick<Offered, "user" | "input">, policy: LivePolicy, deadlineMs: number): Buffer {
    const { name } = request.user.application;
    const type = this.#samples.get(name)?.contentType ?? "";
    return encodeRequest(
      "POST",
      `${this.url}/v1/infer/${name}?deadline_ms=${deadlineMs}${queryOf(policy)}`,
      { authorization: `Bearer ${this.key(request)}`, "content-type": type },
      this.sample(request).body,
    );
  }

  /** What an answer is worth before the clock is asked. */
  outcomeOf(request: Pick<Offered, "user" | "input">, reply: InferReply): Omit<Outcome, "totalMs"> {
    return {
      status: "onTime",
      rung: reply.exit - 1,
      node: reply.node === null ? -1 : this.#nodes.indexOf(reply.node),
      right: reply.label === this.sample(request).label,
      degraded: reply.degraded,
      predictedMs: reply.predicted_ms,
    };
  }
}

export const NOTHING = { status: "error", rung: -1, node: -1, right: false, degraded: false, predictedMs: 0 } as const;

/** Of a problem document (protocol/errors): by its code, as the simulated front counts them. */
export function statusOfProblem(body: Buffer): Status {
  let code: unknown;
  try {
    ({ code } = JSON.parse(body.toString("utf8")) as { code?: unknown });
  } catch {
    return "error";
  }
  if (code === "deadline_exceeded") return "dropped";
  return code === "overloaded" || code === "deadline_unmeetable" || code === "quota_exceeded" ? "rejected" : "error";
}
