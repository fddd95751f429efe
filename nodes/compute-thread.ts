/**
 * The thread that runs the models. ONNX Runtime's Node binding computes on the thread that calls it, so it has one of
 * its own: the agent's main thread stays free to read cancellations and to answer at once.
 */
import { parentPort, workerData } from "node:worker_threads";
import { asDystriError } from "../protocol/errors.ts";
import type { StageState } from "../runtime/stage-runner.ts";
import type { ComputeOptions, ComputeRequest, ComputeReply } from "./compute.ts";
import { loadApplication, type Loaded } from "./models.ts";

const port = parentPort;
if (!port) throw new Error("compute-thread.ts is started by compute.ts");
const post = (reply: ComputeReply) => port.postMessage(reply);

const loaded = new Map<string, Loaded>();
const jobs = new Map<string, { state: StageState; loaded: Loaded }>();

async function run(request: Extract<ComputeRequest, { do: "run" }>): Promise<void> {
  const { id, application, start, rung, topK } = request;
  try {
    if (start) {
      const found = loaded.get(application);
      if (!found) throw new Error(`${application} is not loaded`);
      jobs.set(id, { loaded: found, state: await found.runner.begin(start) });
    }
    const job = jobs.get(id);
    if (!job) throw new Error(`the job ${id} has not begun`);
    post({ did: "run", id, exit: await job.loaded.runner.run(job.state, rung, topK) });
  } catch (error) {
    jobs.delete(id);
    const code = asDystriError(error)?.code === "bad_tensor" ? "bad_input" : "failed";
    post({ did: "fail", id, code, message: error instanceof Error ? error.message : String(error) });
  }
}

try {
  const { models, applications, native } = workerData as ComputeOptions;
  for (const name of applications) loaded.set(name, await loadApplication(models, name, native));
  port.on("message", (request: ComputeRequest) => {
    if (request.do === "run") void run(request);
    else jobs.delete(request.id);
  });
  post({ did: "load", applications: [...loaded.values()].map((one) => one.application) });
} catch (error) {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  post({ did: "refuse", name, message });
}
