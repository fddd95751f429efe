/** Cells and seeds of the full grid on as many threads as there are, what is known of them already left out. */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { readValues, wholeNumber } from "../command-line/options.ts";
import type { CellPlan } from "../sim/grid.ts";
import { Progress } from "../sim/progress.ts";

export type CellTask = {
  /** `requests` are offered after the warm-up, and the first `bounds.requests` of them are looked at. */
  plan: Pick<CellPlan, "key" | "cell" | "variation" | "requests" | "warmUpMs" | "bounds">;
  seed: number;
};

export type CellOptions = { cells: string; seeds: number; threads: number };

/** Throws UsageError on what is not one of them. */
export function readCellOptions(args: string[]): CellOptions {
  const values = readValues(args, {
    cells: { type: "string", default: "" },
    seeds: { type: "string", default: "1" },
    threads: { type: "string", default: `${availableParallelism()}` },
  });
  return {
    cells: values.cells,
    seeds: wholeNumber("--seeds", values.seeds),
    threads: wholeNumber("--threads", values.threads),
  };
}

/**
 * `worker` is sent one task after another and answers each with its result, of which `done` is told. First ones first, each
 * on a thread that is free; rejects with a thread's error.
 */
export async function solveCells<T>(
  worker: URL,
  plans: readonly CellTask["plan"][],
  { seeds, threads }: CellOptions,
  known: Record<string, Record<string, T>>,
  done: (key: string, seed: number, result: T) => void,
): Promise<void> {
  const waiting = plans.flatMap((plan) =>
    Array.from({ length: seeds }, (_, i): CellTask => ({ plan, seed: i + 1 })).filter(
      ({ seed }) => !known[plan.key]?.[seed],
    ),
  );
  const progress = new Progress(waiting.length);
  const work = async (): Promise<void> => {
    const thread = new Worker(worker);
    try {
      for (let task = waiting.shift(); task; task = waiting.shift()) {
        thread.postMessage(task);
        const [result] = (await once(thread, "message")) as [T];
        done(task.plan.key, task.seed, result);
        progress.step(`${task.plan.key} seed ${task.seed}`);
      }
    } finally {
      await thread.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(threads, waiting.length) }, work));
  progress.end();
}
