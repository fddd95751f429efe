/**
 * From bundles to a workerd configuration (Cap'n Proto text) that serves the whole system in one process, with no
 * proxy in front: HTTP in, Workers bound to each other as deployed, Durable Objects in SQLite files on disk.
 */
import path from "node:path";
import type { Bundle } from "./build.ts";

export type WorkerdOptions = {
  /** Folder the configuration file will be in: modules are embedded by a path relative to it. */
  configFolder: string;
  /** Absolute folder of the objects' storage. It must exist. */
  storageFolder: string;
  /** Replaces values of [vars] by name, in every Worker that has the name. */
  vars: Record<string, string>;
  /** One HTTP socket each; the address is "127.0.0.1:8787" or with port 0 for a free one. */
  sockets: { name: string; address: string; service: string }[];
  /** V8's, for every isolate. V8_FLAGS where absent. */
  v8Flags?: readonly string[];
};

/** Workers have no business outside: a fetch to any address fails. */
const OUTBOUND = "no-network";
const STORAGE = "objects-on-disk";
/**
 * What Workers hold of the runtime (requests, responses, headers, streams) dies in full collections only. Left alone, V8
 * makes one in some thousand requests, which stops everybody for longer than many deadlines. Always in full, over a nursery
 * of fixed size, collections are short and many (docs/decisions/0008-one-thread.md, `npm run bench:thread`).
 */
export const V8_FLAGS: readonly string[] = ["--gc-global", "--min-semi-space-size=8", "--max-semi-space-size=8"];

/**
 * The configuration. Secrets are not in it: workerd reads each from the environment variable of its name. Throws when
 * a binding names a Worker or class that no bundle has.
 */
export function workerdConfig(bundles: Bundle[], options: WorkerdOptions): string {
  checkBindings(bundles);
  const services = [
    ...bundles.map((bundle) => workerService(bundle, options)),
    `( name = ${text(STORAGE)}, disk = ( path = ${text(options.storageFolder)}, writable = true ) )`,
    `( name = ${text(OUTBOUND)}, network = ( allow = [] ) )`,
  ];
  const sockets = options.sockets.map(
    (s) => `( name = ${text(s.name)}, address = ${text(s.address)}, http = (), service = ${text(s.service)} )`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = ${list(services, 1)},
  sockets = ${list(sockets, 1)},
  v8Flags = ${list((options.v8Flags ?? V8_FLAGS).map(text), 1)},
);
`;
}

/** Part of the path of every object's storage: it must not change, or objects lose their state. */
function uniqueKey(script: string, className: string): string {
  return `${script}-${className}`;
}

function workerService(bundle: Bundle, options: WorkerdOptions): string {
  const { spec } = bundle;
  const modules = bundle.modules.map((module) => {
    const file = path.relative(options.configFolder, path.join(bundle.folder, module.file)).split(path.sep).join("/");
    return `( name = ${text(module.file)}, ${module.type} = embed ${text(file)} )`;
  });
  const bindings = [
    ...Object.entries(spec.vars).map(
      ([name, value]) => `( name = ${text(name)}, text = ${text(options.vars[name] ?? value)} )`,
    ),
    ...spec.secrets.map((name) => `( name = ${text(name)}, fromEnvironment = ${text(name)} )`),
    ...spec.services.map((s) => {
      const entrypoint = s.entrypoint === null ? "" : `, entrypoint = ${text(s.entrypoint)}`;
      return `( name = ${text(s.binding)}, service = ( name = ${text(s.service)}${entrypoint} ) )`;
    }),
    ...spec.durableObjects.map((b) => {
      const service = b.script === null || b.script === spec.name ? "" : `, serviceName = ${text(b.script)}`;
      return `( name = ${text(b.binding)}, durableObjectNamespace = ( className = ${text(b.className)}${service} ) )`;
    }),
  ];
  const namespaces = spec.sqliteClasses.map(
    (name) => `( className = ${text(name)}, uniqueKey = ${text(uniqueKey(spec.name, name))}, enableSql = true )`,
  );
  const storage = namespaces.length > 0 ? `\n      durableObjectStorage = ( localDisk = ${text(STORAGE)} ),` : "";
  return `( name = ${text(spec.name)}, worker = (
      modules = ${list(modules, 3)},
      compatibilityDate = ${text(spec.compatibilityDate)},
      compatibilityFlags = [${spec.compatibilityFlags.map(text).join(", ")}],
      bindings = ${list(bindings, 3)},
      globalOutbound = ${text(OUTBOUND)},
      durableObjectNamespaces = ${list(namespaces, 3)},${storage}
    ) )`;
}

/** workerd only logs a missing service and starts without it; a clear error here saves the search. */
function checkBindings(bundles: Bundle[]): void {
  const byName = new Map(bundles.map((bundle) => [bundle.spec.name, bundle.spec]));
  for (const { spec, config } of bundles) {
    for (const { binding, service } of spec.services) {
      if (!byName.has(service)) throw new Error(`${config}: ${binding} binds to ${service}, which no TOML describes`);
    }
    for (const { binding, className, script } of spec.durableObjects) {
      if (!byName.get(script ?? spec.name)?.sqliteClasses.includes(className)) {
        throw new Error(
          `${config}: ${binding} needs the class ${className} in new_sqlite_classes of ${script ?? spec.name}`,
        );
      }
    }
  }
}

function list(items: readonly string[], depth: number): string {
  const indent = "  ".repeat(depth);
  return items.length === 0 ? "[]" : `[\n${items.map((item) => `${indent}  ${item},\n`).join("")}${indent}]`;
}

/** A Cap'n Proto string literal. Its escapes are C's; anything beyond ASCII stays as UTF-8. */
function text(value: string): string {
  const escaped = Array.from(value, (character) => {
    if (character === "\\" || character === '"') return `\\${character}`;
    const code = character.charCodeAt(0);
    return code < 0x20 || code === 0x7f ? `\\x${code.toString(16).padStart(2, "0")}` : character;
  });
  return `"${escaped.join("")}"`;
}
