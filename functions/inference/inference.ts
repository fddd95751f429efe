/** The RPC surface of an inference Worker, for any platform's bundle. */
import { WorkerEntrypoint } from "cloudflare:workers";
import type { Application } from "../../protocol/application.ts";
import { DystriError, quote } from "../../protocol/errors.ts";
import type { EdgeJob, EdgeJobMessage, IsolateReport, RunResult } from "../../protocol/inference.ts";
import { fromJsonText } from "../../protocol/json-text.ts";
import type { InferenceRpc } from "../../protocol/services.ts";
import type { StageRunner } from "../../runtime/stage-runner.ts";
import { clockOf } from "../clock.ts";
import type { PlatformBundle } from "./bundle.ts";
import { checkJob } from "./edge-job.ts";
import { Executor, type Opened } from "./executor.ts";
import { OnnxRuntime } from "./onnx.ts";

/**
 * Predicted time from the first call to loaded sessions. Measured on a busy 2-core machine: 385 to 624 ms for four to
 * seven small models, first runs included.
 */
const COLD_START_MS = 400;

/** What one isolate has for all its requests: nothing in it belongs to any of them. */
class Isolate {
  readonly runtime: OnnxRuntime;
  readonly #applications: ReadonlyMap<string, Application>;
  readonly #cancels = new Map<string, () => void>();
  #executor: Executor | undefined;

  constructor(bundle: PlatformBundle) {
    this.runtime = new OnnxRuntime(bundle);
    this.#applications = new Map(bundle.applications.map(({ application }) => [application.name, application]));
  }

  /** Throws DystriError unknown_application. */
  application(name: string): Application {
    const found = this.#applications.get(name);
    if (found) return found;
    throw new DystriError("unknown_application", `${quote(name)} is not served here`, {
      field: "application",
      value: quote(name),
      hint: `one of ${[...this.#applications.keys()].join(", ")}`,
    });
  }

  /** The variables of all requests of an isolate are the same: the first one makes the executor. */
  executor(env: InferenceEnv): Executor {
    return (this.#executor ??= new Executor(this.#source(), clockOf(env), COLD_START_MS, [
      ...this.#applications.values(),
    ]));
  }

  /** Takes in a job, which `cancel` finds by its ticket from now on. Throws DystriError when it is not one. */
  open(ticket: string, { plan, ...message }: EdgeJobMessage, env: InferenceEnv): Opened {
    const application = this.application(message.application);
    const job: EdgeJob = { ...message, plan: fromJsonText(plan) };
    checkJob(application, job);
    const opened = this.executor(env).open(application, job);
    this.#cancels.set(ticket, opened.cancel);
    const forget = (): void => void this.#cancels.delete(ticket);
    return { ...opened, held: opened.held.then(forget) };
  }

  cancel(ticket: string): void {
    this.#cancels.get(ticket)?.();
  }

  #source(): { readonly settled: boolean; load(application: string): Promise<StageRunner> } {
    const { runtime } = this;
    return {
      get settled() {
        return runtime.settled;
      },
      async load(application) {
        const runner = (await runtime.load()).runners.get(application);
        if (!runner) throw new DystriError("unknown_application", `${application} is not served here`);
        return runner;
      },
    };
  }

  report(env: InferenceEnv): IsolateReport {
    const { queued, running } = this.executor(env);
    return { wasmBytes: this.runtime.wasmBytes, sessions: this.runtime.sessions, queued, running };
  }
}

/** Runs every stage loaded once on zeros, in ladder order: first runs are slower than the rest. */
async function warmUp(runner: StageRunner): Promise<void> {
  const { application } = runner;
  const { datatype, shape, bytes } = application.input;
  const state = await runner.begin({ from: "input", input: { datatype, shape, bytes: new ArrayBuffer(bytes) } });
  for (const rung of application.rungs.keys()) if (runner.canRun(state, rung)) await runner.run(state, rung, 1);
}

/** The entrypoint class of one platform. Its isolate state is made here, once, at module scope. */
export function inferenceFor(bundle: PlatformBundle) {
  const isolate = new Isolate(bundle);

  return class Inference extends WorkerEntrypoint<InferenceEnv> implements InferenceRpc {
    async run(ticket: string, message: EdgeJobMessage): Promise<RunResult> {
      const { result, held } = isolate.open(ticket, message, this.env);
      // Before anything is awaited: a caller that leaves would otherwise cancel this context in mid-run, and the
      // `finally` that gives the processor back would never run.
      this.ctx.waitUntil(held);
      return result;
    }

    async cancel(ticket: string): Promise<void> {
      isolate.cancel(ticket);
    }

    async warm(): Promise<IsolateReport> {
      const loading = isolate.runtime.load();
      this.ctx.waitUntil(loading.catch(() => undefined));
      for (const runner of (await loading).runners.values()) await warmUp(runner);
      return isolate.report(this.env);
    }

    debug(): Promise<IsolateReport> {
      return Promise.resolve(isolate.report(this.env));
    }
  };
}
