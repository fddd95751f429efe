/** A cluster of its own for one bench, in a folder that goes with it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { LocalCluster, type ClusterOptions } from "../../scripts/local-cluster.ts";

/** Starts a cluster, runs `measure` on it and ends it, whatever happens. Resolves with what `measure` gives. */
export async function withCluster<T>(
  options: Omit<ClusterOptions, "stateDir">,
  measure: (cluster: LocalCluster) => Promise<T>,
): Promise<T> {
  const stateDir = await mkdtemp(path.join(tmpdir(), "dystri-bench-"));
  const cluster = new LocalCluster({ ...options, stateDir });
  try {
    await cluster.start();
    return await measure(cluster);
  } finally {
    await cluster.stop();
    await rm(stateDir, { recursive: true, force: true });
  }
}
