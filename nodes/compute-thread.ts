/**
 * The thread that runs the models. ONNX Runtime's Node binding computes on the thread that calls it, so it has one of
 * its own: the agent's main thread stays free to read cancellations and to answer at once.
 */
import { parentPort, workerData } from "node:worker_threads";
import { asDystriError } from "../protocol/errors.ts";
import type { ExitResult } from "../protocol/plan.ts";
import type { StageState } from "../runtime/stage-runner.ts";
import type { ComputeOptions, ComputeReply, ComputeRequest, StageEnd, StageJob } from "./compute.ts";
import { loadApplication, type Loaded } from "./models.ts";

const port = parentPort;
if (!port) throw new Error("compute-thread.ts is started by compute.ts");
const post = (reply: ComputeReply) => port.postMessage(reply);

const { models, applications, native, pace = 1 } = workerData as ComputeOptions;
const loaded = new Map<string, Loaded>();
/** What is held of each job between its stages. */
const states = new Map<string, StageState>();

type Ready = { id: string; topK: number; state: StageState };

async function run(request: Extract<ComputeRequest, { do: "run" }>): Promise<void> {
  const beganAt = performance.now();
  const { application, rung, jobs } = request;
  const ends = new Map<string, StageEnd>();
  const fail = (id: string, error: unknown): void => {
    states.delete(id);
    const code = asDystriError(error)?.code === "bad_tensor" ? "bad_input" : "failed";
    ends.set(id, { id, code, message: error instanceof Error ? error.message : String(error) });
  };
  const together = async (ready: readonly Ready[], runner: Loaded["runner"]): Promise<void> => {
    const exits = await runner.runTogether(ready, rung);
    ready.forEach(({ id }, i) => ends.set(id, { id, exit: exits[i] as ExitResult }));
  };
  const found = loaded.get(application);
  const ready: Ready[] = [];
  for (const job of jobs) {
    try {
      if (!found) throw new Error(`${application} is not loaded`);
      ready.push({ id: job.id, topK: job.topK, state: await begun(job, found.runner) });
    } catch (error) {
      fail(job.id, error);
    }
  }
  try {
    if (found && ready.length > 0) await together(ready, found.runner);
  } catch (error) {
    // Together they may need more memory than there is, or one of them breaks the runtime: each is tried alone.
    for (const one of ready) {
      if (!found || ready.length === 1) fail(one.id, error);
      else await together([one], found.runner).catch((alone: unknown) => fail(one.id, alone));
    }
  }
  const restMs = (pace - 1) * (performance.now() - beganAt);
  if (restMs > 0) await new Promise((resolve) => void setTimeout(resolve, restMs));
  post({ did: "run", run: request.run, ends: jobs.map(({ id }) => ends.get(id) as StageEnd) });
}

async function begun({ id, start }: StageJob, runner: Loaded["runner"]): Promise<StageState> {
  if (start) states.set(id, await runner.begin(start));
  const state = states.get(id);
  if (!state) throw new Error(`the job ${id} has not begun`);
  return state;
}

try {
  for (const name of applications) loaded.set(name, await loadApplication(models, name, native));
  port.on("message", (request: ComputeRequest) => {
    if (request.do === "run") void run(request);
    else states.delete(request.id);
  });
  post({ did: "load", applications: [...loaded.values()].map((one) => one.application) });
} catch (error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  post({ did: "refuse", name, message });
}
