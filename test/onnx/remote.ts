/** The inference entrypoint as tests in its own isolate call it: across RPC. */
import { exports } from "cloudflare:workers";
import type { EdgeJobMessage, IsolateReport, RunResult } from "../../protocol/inference.ts";

type Remote = {
  run(ticket: string, job: EdgeJobMessage): Promise<RunResult>;
  cancel(ticket: string): Promise<void>;
  warm(): Promise<IsolateReport>;
  debug(): Promise<IsolateReport>;
};

export const inference = (exports as unknown as { Inference: Remote }).Inference;
