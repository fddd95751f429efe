/** The wasm memory of the real inference Workers, all their edge stages loaded and run, against the budget. */
import type { IsolateReport } from "../../protocol/inference.ts";
import type { LocalCluster } from "../../scripts/local-cluster.ts";

/** Of the 128 MB that an isolate has; it never shrinks. */
const BUDGET_BYTES = 60_000_000;

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Prints a line per platform. False when one is over the budget. The cluster must run bench/bare-worker, which asks them. */
export async function memoryHeld(cluster: LocalCluster): Promise<boolean> {
  const response = await fetch(`${cluster.urlOf("bench-bare")}/inference`);
  if (!response.ok) throw new Error(`answered ${response.status}: ${await response.text()}`);
  const reports = (await response.json()) as Record<string, IsolateReport>;
  let allHeld = Object.keys(reports).length > 0;
  for (const [binding, { wasmBytes, sessions }] of Object.entries(reports)) {
    const held = wasmBytes > 0 && wasmBytes <= BUDGET_BYTES;
    allHeld &&= held;
    const platform = binding.slice("INFERENCE_".length).toLowerCase();
    console.log(
      `wasm memory of ${platform}, ${sessions.length} sessions loaded: ${megabytes(wasmBytes)}; ` +
        `budget ${megabytes(BUDGET_BYTES)}: ${held ? "held" : "MISSED"}`,
    );
  }
  return allHeld;
}
