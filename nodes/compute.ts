/** The main thread's side of the thread that runs the models. */
import { Worker } from "node:worker_threads";
import type { Application } from "../protocol/application.ts";
import type { ExitResult } from "../protocol/plan.ts";
import type { Start } from "../protocol/tensor.ts";
import { ConfigurationError } from "./log.ts";
import type { NativeOptions } from "./onnx.ts";

export type ComputeOptions = {
  models: string;
  applications: readonly string[];
  native: NativeOptions;
  /** Each run takes so many times as long, at least 1: the thread rests after it. */
  pace?: number;
};

/** `start` comes with a job's first stage only. */
export type StageJob = { id: string; start: Start | null; topK: number };
/** One stage for several jobs of an application at once. */
export type StageRun = { application: string; rung: number; jobs: StageJob[] };
/** How the stage ended for one job; one that failed is forgotten. */
export type StageEnd = { id: string; exit: ExitResult } | { id: string; code: "bad_input" | "failed"; message: string };
export type ComputeRequest = ({ do: "run"; run: number } & StageRun) | { do: "forget"; id: string };
export type ComputeReply =
  | { did: "load"; applications: Application[] }
  | { did: "refuse"; name: string; message: string }
  | { did: "run"; run: number; ends: StageEnd[] };

type Waiter = { resolve: (ends: StageEnd[]) => void; reject: (error: Error) => void };

export class Compute {
  readonly applications: readonly Application[];
  /** Settles when the thread has died, which it never does of itself. */
  readonly died: Promise<Error>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiter>();
  #runs = 0;

  private constructor(worker: Worker, applications: readonly Application[]) {
    this.#worker = worker;
    this.applications = applications;
    this.died = new Promise((resolve) => {
      const die = (error: Error) => {
        for (const waiter of this.#waiting.values()) waiter.reject(error);
        this.#waiting.clear();
        resolve(error);
      };
      worker.once("error", die);
      worker.once("exit", (code) => die(new Error(`the compute thread ended with code ${code}`)));
    });
    worker.on("message", (reply: ComputeReply) => this.#receive(reply));
  }

  /** Starts the thread and loads every stage. Rejects with ConfigurationError when something cannot be loaded. */
  static async start(options: ComputeOptions): Promise<Compute> {
    const worker = new Worker(new URL("./compute-thread.ts", import.meta.url), { workerData: options });
    const first = await new Promise<ComputeReply>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    if (first.did === "load") return new Compute(worker, first.applications);
    await worker.terminate();
    const message = first.did === "refuse" ? first.message : "the compute thread did not start";
    throw first.did === "refuse" && first.name === "ConfigurationError"
      ? new ConfigurationError(message)
      : new Error(message);
  }

  /** Runs one stage, for several jobs at once; ends in the jobs' order. Rejects only when the thread has died. */
  run(stage: StageRun): Promise<StageEnd[]> {
    return new Promise((resolve, reject) => {
      const run = ++this.#runs;
      this.#waiting.set(run, { resolve, reject });
      this.#worker.postMessage({ do: "run", run, ...stage } satisfies ComputeRequest);
    });
  }

  /** Drops what is held of a job between stages. */
  forget(id: string): void {
    this.#worker.postMessage({ do: "forget", id } satisfies ComputeRequest);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #receive(reply: ComputeReply): void {
    if (reply.did !== "run") return;
    const waiter = this.#waiting.get(reply.run);
    this.#waiting.delete(reply.run);
    waiter?.resolve(reply.ends);
  }
}
