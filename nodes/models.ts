/** Finds and loads applications: a folder with an app.json, and the stages a node needs of it. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { chain } from "../control/ladder.ts";
import type { Application } from "../protocol/application.ts";
import type { Session } from "../runtime/session.ts";
import { StageRunner } from "../runtime/stage-runner.ts";
import { ConfigurationError } from "./log.ts";
import { openNative, type NativeOptions } from "./onnx.ts";
import { parseApplication } from "./parse-application.ts";

export type Loaded = { application: Application; runner: StageRunner };

/** Names of the applications under `models`, sorted: its folders that hold an app.json. */
export async function findApplications(models: string): Promise<string[]> {
  const entries = await readdir(models, { withFileTypes: true }).catch((cause: unknown) => {
    throw new ConfigurationError(`the models folder ${models} cannot be read`, { cause });
  });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  const found = await Promise.all(
    folders.map(async (name) => ((await readdir(join(models, name))).includes("app.json") ? [name] : [])),
  );
  return found.flat().sort();
}

/** The rungs a node may answer with. */
export function nodeRungs(application: Application): number[] {
  return application.rungs.flatMap((rung, index) => (rung.tiers.includes("node") ? [index] : []));
}

/** Loads one application: every stage on the way to a rung of the node tier. Throws ConfigurationError naming the file. */
export async function loadApplication(models: string, name: string, options: NativeOptions): Promise<Loaded> {
  const folder = join(models, name);
  const application = await readApplication(join(folder, "app.json"));
  const needed = new Set(nodeRungs(application).flatMap((rung) => chain(application, rung, "input") ?? []));
  if (needed.size === 0) throw new ConfigurationError(`${name} has no rung that may run on a node`);
  const sessions: (Session | null)[] = [];
  for (const [index, rung] of application.rungs.entries()) {
    sessions.push(needed.has(index) ? await openNative(join(folder, rung.stage), options) : null);
  }
  return { application, runner: new StageRunner(application, sessions) };
}

/** The application of an app.json. Throws ConfigurationError that names the file and each of its faults. */
export async function readApplication(file: string): Promise<Application> {
  try {
    return parseApplication(JSON.parse(await readFile(file, "utf8")));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigurationError(`${file} cannot be used:\n${why}`, { cause });
  }
}
