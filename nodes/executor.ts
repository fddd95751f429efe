/** Runs jobs as control/node-executor decides: its adapter to the compute thread and to whoever wants the answers. */
import { NodeExecutor, type Step } from "../control/node-executor.ts";
import type { NodeRegistration } from "../protocol/fleet.ts";
import { REFUSALS } from "../protocol/fleet.ts";
import { MAX_IN_FLIGHT } from "../protocol/limits.ts";
import type { AnswerHeader, JobHeader, RefusalHeader } from "../protocol/node-messages.ts";
import type { ExitResult } from "../protocol/plan.ts";
import type { Start } from "../protocol/tensor.ts";
import type { Compute, StageEnd } from "./compute.ts";
import { log } from "./log.ts";

export type Reply = { kind: "answer"; header: AnswerHeader } | { kind: "refusal"; header: RefusalHeader };

type Held = { header: JobHeader; start: Start | null; reply: (reply: Reply) => void; exit: ExitResult | null };

export class Executor {
  readonly #machine: NodeExecutor;
  readonly #compute: Compute;
  readonly #held = new Map<string, Held>();
  #idle: (() => void)[] = [];

  constructor(registration: NodeRegistration, compute: Compute) {
    this.#machine = new NodeExecutor(registration, MAX_IN_FLIGHT);
    this.#compute = compute;
  }

  /** Predicted work held. */
  get backlogMs(): number {
    return this.#machine.backlogMs(performance.now());
  }

  /** Takes a job or refuses it at once. `reply` is called once, unless the job is cancelled. */
  take(id: string, header: JobHeader, start: Start, reply: (reply: Reply) => void): void {
    const arrival = this.#machine.arrive({ ...header, id }, performance.now());
    if (!arrival.queued) {
      const { code, detail } = arrival;
      reply({ kind: "refusal", header: { code, detail, backlogMs: this.backlogMs } });
      return;
    }
    this.#held.set(id, { header, start, reply, exit: null });
    this.#dispatch();
  }

  /** Nobody wants the answer any more. A stage that runs is not interrupted, its answer is dropped. */
  cancel(id: string): void {
    if (this.#machine.cancel(id) !== "gone") return;
    this.#held.delete(id);
    this.#tellIfIdle();
  }

  cancelAll(): void {
    for (const id of this.#held.keys()) this.cancel(id);
  }

  /** Takes no more jobs; resolves when those held are done. */
  async drain(): Promise<void> {
    this.#machine.drain();
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
      this.#tellIfIdle();
    });
  }

  #dispatch(): void {
    for (let step = this.#machine.dispatch(performance.now()); step; step = this.#machine.dispatch(performance.now())) {
      this.#follow(step);
    }
    this.#tellIfIdle();
  }

  #follow(step: Step): void {
    if (step.do === "run") {
      void this.#runStage(step);
      return;
    }
    const held = this.#held.get(step.id);
    if (!held) return;
    this.#held.delete(step.id);
    this.#compute.forget(step.id);
    if (step.do === "late") this.#refuse(held, "too_late", REFUSALS.too_late);
    else if (step.do === "answer" && held.exit) {
      const { queueMs, computeMs, batch } = step;
      const header = { exit: held.exit, queueMs, computeMs, batch, backlogMs: this.backlogMs };
      held.reply({ kind: "answer", header });
    }
  }

  /** Runs a stage for a batch. Jobs of one batch are of one application. */
  async #runStage({ batch, ids, rung }: Extract<Step, { do: "run" }>): Promise<void> {
    const jobs = ids.flatMap((id) => {
      const held = this.#held.get(id);
      if (!held) return [];
      const job = { id, start: held.start, topK: held.header.topK, application: held.header.application };
      held.start = null;
      return [job];
    });
    const application = jobs[0]?.application ?? "";
    let ends: StageEnd[];
    try {
      ends = await this.#compute.run({ application, rung, jobs });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      ends = ids.map((id) => ({ id, code: "failed", message }));
    }
    const now = performance.now();
    for (const end of ends) {
      const held = this.#held.get(end.id);
      if (!held) continue;
      if ("exit" in end) held.exit = end.exit;
      else {
        this.#machine.failed(end.id, now);
        this.#held.delete(end.id);
        log("executor", "job_failed", { application, rung, detail: end.message });
        this.#refuse(held, end.code, end.message);
      }
    }
    for (const step of this.#machine.stageEnded(batch, now)) this.#follow(step);
    this.#dispatch();
  }

  #refuse(held: Held, code: RefusalHeader["code"], detail: string): void {
    held.reply({ kind: "refusal", header: { code, detail: detail.slice(0, 512), backlogMs: this.backlogMs } });
  }

  #tellIfIdle(): void {
    if (this.#machine.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
