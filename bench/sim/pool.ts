/** Tasks on as many threads as there are cores. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { SplitName } from "../lib/replay.ts";
import type { SeedResult, Task } from "./run-seed.ts";
import type { FromWorker, ToWorker, WorkerData } from "./worker.ts";

/** Runs the tasks, first ones first; `done` is called as each is. Rejects with a thread's error, and stops the others. */
export async function runTasks(
  tasks: readonly Task[],
  split: SplitName,
  done: (index: number, result: SeedResult) => void,
  threads = availableParallelism(),
): Promise<void> {
  if (tasks.length === 0) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let [next, left] = [0, tasks.length];
  const workers = Array.from({ length: Math.min(threads, tasks.length) }, () => {
    const data: WorkerData = { split };
    const worker = new Worker(new URL("worker.ts", import.meta.url), { workerData: data });
    const feed = (): void => {
      const index = next++;
      const task = tasks[index];
      if (task) worker.postMessage({ index, task } satisfies ToWorker);
    };
    worker.on("message", ({ index, result }: FromWorker) => {
      done(index, result);
      if (--left === 0) resolve();
      else feed();
    });
    worker.on("error", reject);
    feed();
    return worker;
  });
  try {
    await promise;
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
