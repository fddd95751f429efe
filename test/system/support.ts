/** A cluster for one test file, and calls to it as an app would make them. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { LocalCluster, type ClusterOptions } from "../../scripts/local-cluster.ts";

export const SAMPLES = path.join(import.meta.dirname, "../../models/clothing/samples");

/** What `/v1/infer` answers, as far as tests read it. */
export type Reply = {
  label: string;
  score: number;
  top: { label: string; score: number }[];
  exit: number;
  exits_total: number;
  tier: "edge" | "node";
  node: string | null;
  confidence: number;
  deadline_ms: number;
  deadline_met: boolean;
  predicted_ms: number;
  total_ms: number;
  degraded: boolean;
  reason: string;
};

export type Sample = { file: string; label: string; png: Buffer };

export async function samples(): Promise<Sample[]> {
  const labels = JSON.parse(await readFile(path.join(SAMPLES, "labels.json"), "utf8")) as Record<string, string>;
  return Promise.all(
    Object.entries(labels).map(async ([file, label]) => ({
      file,
      label,
      png: await readFile(path.join(SAMPLES, file)),
    })),
  );
}

export class System {
  readonly cluster: LocalCluster;
  readonly #stateDir: string;
  apiKey = "";

  private constructor(cluster: LocalCluster, stateDir: string) {
    this.cluster = cluster;
    this.#stateDir = stateDir;
  }

  /** Starts a cluster with a user, in a folder of its own; `close()` removes both. */
  static async start(options: Omit<ClusterOptions, "stateDir">): Promise<System> {
    const stateDir = await mkdtemp(path.join(tmpdir(), "dystri-system-"));
    const system = new System(new LocalCluster({ ...options, stateDir }), stateDir);
    await system.cluster.start();
    system.apiKey = (await system.cluster.createUser()).apiKey;
    return system;
  }

  async close(): Promise<void> {
    await this.cluster.stop();
    await rm(this.#stateDir, { recursive: true, force: true });
  }

  post(
    route: string,
    body: string | Uint8Array<ArrayBuffer>,
    { type = "image/png", signal }: { type?: string; signal?: AbortSignal } = {},
  ): Promise<Response> {
    const headers = { authorization: `Bearer ${this.apiKey}`, "content-type": type };
    return fetch(this.cluster.url + route, { method: "POST", headers, body, ...(signal && { signal }) });
  }

  /** One image; rejects when the answer is not 200. */
  async infer(sample: Sample, query = "deadline_ms=5000"): Promise<Reply> {
    const response = await this.post(`/v1/infer/clothing?${query}`, new Uint8Array(sample.png));
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${response.status} ${text}`);
    return JSON.parse(text) as Reply;
  }

  /** Samples whose first exit is unsure, so that a plan goes on, and samples it is sure of. */
  async sortByConfidence(): Promise<{ unsure: Sample[]; sure: Sample[] }> {
    const all = await samples();
    const replies = await Promise.all(all.map((sample) => this.infer(sample, "deadline_ms=5000&max_exit=1")));
    return {
      unsure: all.filter((_, i) => (replies[i]?.confidence ?? 1) < 0.8),
      sure: all.filter((_, i) => (replies[i]?.confidence ?? 0) > 0.99),
    };
  }

  /** Asks until an unsure sample is answered on a node: the controller has then met the fleet. */
  async untilNodeAnswers(sample: Sample, boundMs = 20_000): Promise<Reply> {
    for (const until = Date.now() + boundMs; Date.now() < until;) {
      const reply = await this.infer(sample);
      if (reply.tier === "node") return reply;
    }
    throw new Error("no node answered in time");
  }
}
