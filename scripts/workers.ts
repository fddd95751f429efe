/**
 * Which Workers there are, read from their TOMLs. A new service platform is one more file in functions/inference/;
 * nothing here names it.
 */
import { globSync } from "node:fs";
import path from "node:path";

/** The repository's folder. Every path in scripts/ is built from it, so that commands work from any directory. */
export const ROOT = path.resolve(import.meta.dirname, "..");

/** What the local server needs of a Worker's configuration, as plain data that fits in a JSON file. */
export type WorkerSpec = {
  name: string;
  compatibilityDate: string;
  compatibilityFlags: string[];
  vars: Record<string, string>;
  /** Names of the secrets it cannot run without. */
  secrets: string[];
  services: { binding: string; service: string; entrypoint: string | null }[];
  /** `script` is null for a class of this Worker itself. */
  durableObjects: { binding: string; className: string; script: string | null }[];
  /** Classes of this Worker that migrations have made, all of them with SQLite storage. */
  sqliteClasses: string[];
};

/** TOML files relative to the repository, the API Worker's first. */
export function workerConfigs(): string[] {
  return [
    "wrangler.toml",
    "durable-objects/wrangler.toml",
    ...globSync("functions/inference/*.toml", { cwd: ROOT }).sort(),
  ];
}

/** Deploy order: a Worker comes after those it binds to (inference, fleet, api). */
export function deployOrder(): string[] {
  const [api, fleet, ...inference] = workerConfigs();
  return [...inference, fleet, api].filter((config) => config !== undefined);
}

/** The part of wrangler's normalised configuration that is read here. Its own types are not in the published package. */
type WranglerConfig = {
  name?: string;
  compatibility_date?: string;
  compatibility_flags: string[];
  vars: Record<string, unknown>;
  secrets?: { required?: string[] };
  services?: { binding: string; service: string; entrypoint?: string }[];
  durable_objects: { bindings: { name: string; class_name: string; script_name?: string }[] };
  migrations: { new_sqlite_classes?: string[] }[];
};

/**
 * Reads TOMLs with wrangler's own reader, so that defaults and checks are wrangler's. Importing wrangler takes about a
 * second: callers on a fast path keep the result. Throws what wrangler says of a broken file.
 */
export async function readWorkerSpecs(configs: string[]): Promise<WorkerSpec[]> {
  const { unstable_readConfig: readConfig } = await import("wrangler");
  return configs.map((config) => {
    const read = readConfig({ config: path.resolve(ROOT, config) }, { hideWarnings: true }) as WranglerConfig;
    if (!read.name || !read.compatibility_date) throw new Error(`${config}: name and compatibility_date are needed`);
    const vars: Record<string, string> = {};
    for (const [name, value] of Object.entries(read.vars)) {
      if (typeof value !== "string") throw new Error(`${config}: [vars] ${name} must be a string`);
      vars[name] = value;
    }
    return {
      name: read.name,
      compatibilityDate: read.compatibility_date,
      compatibilityFlags: read.compatibility_flags,
      vars,
      secrets: read.secrets?.required ?? [],
      services: (read.services ?? []).map((s) => ({
        binding: s.binding,
        service: s.service,
        entrypoint: s.entrypoint ?? null,
      })),
      durableObjects: read.durable_objects.bindings.map((b) => ({
        binding: b.name,
        className: b.class_name,
        script: b.script_name ?? null,
      })),
      sqliteClasses: read.migrations.flatMap((m) => m.new_sqlite_classes ?? []),
    };
  });
}
