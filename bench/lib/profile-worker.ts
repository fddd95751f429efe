/**
 * bench/profile-worker on a workerd of its own, for one application: what its stages cost at the edge. The time is
 * taken here, over many runs to a request, because that is the only way to take it on a deployed Worker as well.
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Application } from "../../protocol/application.ts";
import { build } from "../../scripts/build.ts";
import { workerdConfig } from "../../scripts/workerd-config.ts";
import { startWorkerd } from "../../scripts/workerd-process.ts";

const CONFIG = "bench/profile-worker/wrangler.toml";
const SOCKET = "profile";
const REQUEST_BOUND_MS = 60_000;

/** Runs the stage of a rung `count` times in one request, and gives the milliseconds that the request took. */
export type StageTimer = (rung: number, count: number) => Promise<number>;

/** Starts workerd, loads the stages of the application whose `app.json` is in `folder`, and ends workerd after `measure`. */
export async function withProfileWorker<T>(
  application: Application,
  folder: string,
  measure: (timer: StageTimer) => Promise<T>,
): Promise<T> {
  const [bundle] = await build([CONFIG]);
  if (!bundle) throw new Error(`${CONFIG} gave no bundle`);
  const state = await mkdtemp(path.join(tmpdir(), "dystri-profile-"));
  try {
    const config = path.join(state, "workerd.capnp");
    const sockets = [{ name: SOCKET, address: "127.0.0.1:0", service: bundle.spec.name }];
    await writeFile(config, workerdConfig([bundle], { configFolder: state, storageFolder: state, vars: {}, sockets }));
    const { child, ports } = await startWorkerd(config, [SOCKET], {});
    try {
      const url = `http://127.0.0.1:${ports.get(SOCKET)}`;
      await post(`${url}/load`, await formOf(application, folder));
      return await measure(async (rung, count) => {
        const sentAt = performance.now();
        await post(`${url}/run/${rung}/${count}`);
        return performance.now() - sentAt;
      });
    } finally {
      await child.stop(1000);
    }
  } finally {
    await rm(state, { recursive: true, force: true });
  }
}

async function formOf(application: Application, folder: string): Promise<FormData> {
  const form = new FormData();
  form.set("application", JSON.stringify(application));
  for (const [rung, { stage }] of application.rungs.entries()) {
    form.set(`stage-${rung}`, new Blob([await readFile(path.join(folder, stage))]));
  }
  return form;
}

async function post(url: string, body: FormData | null = null): Promise<void> {
  const response = await fetch(url, { method: "POST", body, signal: AbortSignal.timeout(REQUEST_BOUND_MS) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text}`);
}
