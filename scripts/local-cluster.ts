/**
 * The whole system on this machine, for `npm start`, system tests and benches: every Worker on one workerd process,
 * objects on disk, node agents as real processes that enrol and dial in like any other.
 */
import { mkdir, writeFile } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { build, type Bundle } from "./build.ts";
import { beforeTermination, type Child, type LineListener } from "./children.ts";
import { startNode, type NodeHandle } from "./local-node.ts";
import { Operator } from "./operator.ts";
import { poll } from "./poll.ts";
import { localSecrets, type Secrets } from "./secrets.ts";
import { startWorkerd, type Workerd } from "./workerd-process.ts";
import { workerdConfig } from "./workerd-config.ts";
import { workerConfigs } from "./workers.ts";

const HOST = "127.0.0.1";
/** Loading the runtime and every model of every inference Worker. */
const WARM_BOUND_MS = 60_000;

export type ClusterOptions = {
  /** Secrets, objects and nodes' keys live here. A folder used before brings its state back. */
  stateDir: string;
  /** Of the API; 0, the default, takes a free one. */
  port?: number;
  /** Node agents to start with. Default none. */
  nodes?: number;
  /** More of every agent's command line (`node nodes/agent.ts --help`). */
  nodeOptions?: readonly string[];
  /** Replaces [vars] by name, such as DYSTRI_CLOCK. */
  vars?: Record<string, string>;
  /** TOMLs of more Workers, relative to the repository. Each gets an HTTP socket of its own: `urlOf(name)`. */
  extraWorkers?: string[];
  /** Lets extra Workers use flags of workerd that are experimental, such as unsafe_module. Default false. */
  experimental?: boolean;
  /** V8's flags instead of those of scripts/workerd-config. */
  v8Flags?: readonly string[];
  /** Waits until readiness says that models are warm. Default true. */
  warm?: boolean;
  /** Told what is going on, a short line at a time. */
  onProgress?: (line: string) => void;
  /** Told every line that workerd logs: console output of Workers on stdout, their errors and its own on stderr. */
  onLog?: LineListener;
};

export class LocalCluster {
  readonly nodes: NodeHandle[] = [];
  readonly #options: ClusterOptions;
  readonly #names = new Set<string>();
  #bundles: Bundle[] = [];
  #workerd: Workerd | undefined;
  #secrets: Secrets | undefined;
  #takeBack: (() => void) | undefined;
  #stopping = false;

  constructor(options: ClusterOptions) {
    this.#options = { ...options, stateDir: path.resolve(options.stateDir) };
  }

  /** Builds what is out of date, starts everything and waits until it can serve. On a failure nothing is left running. */
  async start(): Promise<this> {
    const { stateDir, port = 0, nodes = 0, extraWorkers = [], onProgress } = this.#options;
    if (port !== 0) await assertPortFree(port);
    await mkdir(this.objectsFolder, { recursive: true });
    this.#secrets = await localSecrets(stateDir);
    this.#takeBack = beforeTermination(() => this.stop());
    try {
      const configs = [...workerConfigs(), ...extraWorkers];
      this.#bundles = await build(configs, (count) => onProgress?.(`Bundling ${count} Workers …`));
      await this.#startWorkerd(port);
      if (nodes > 0) onProgress?.(nodes === 1 ? "Starting a node …" : `Starting ${nodes} nodes …`);
      const online = Array.from({ length: nodes }, () => this.addNode());
      await Promise.all([this.#options.warm === false ? null : this.waitReady(), ...online]);
      return this;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Base URL of the API, without a slash at the end. */
  get url(): string {
    return this.urlOf("api");
  }

  /** Base URL of an extra Worker, by its name in its TOML. */
  urlOf(socket: string): string {
    const port = this.#workerd?.ports.get(socket);
    if (port === undefined) throw new Error(`nothing listens for ${socket}: is the cluster started?`);
    return `http://${HOST}:${port}`;
  }

  /** Folder of the objects' storage: in it a folder for every class, in that a SQLite file for every object, called by its id. */
  get objectsFolder(): string {
    return path.join(this.#options.stateDir, "objects");
  }

  get adminToken(): string {
    if (!this.#secrets) throw new Error("the cluster is not started");
    return this.#secrets.DYSTRI_ADMIN_TOKEN;
  }

  get workerd(): Child {
    if (!this.#workerd) throw new Error("the cluster is not started");
    return this.#workerd.child;
  }

  /** Users, nodes and readiness, by the routes that an operator has. */
  get operator(): Operator {
    return new Operator(this.url, this.adminToken);
  }

  createUser(): Promise<{ apiKey: string }> {
    return this.operator.createUser();
  }

  /** Waits until the models of every inference Worker are loaded and warm. Rejects after 60 s, or when workerd ends. */
  async waitReady(): Promise<void> {
    this.#options.onProgress?.("Loading models …");
    const { operator } = this;
    await poll(WARM_BOUND_MS, "the API did not become ready", this.workerd, () => operator.unreadiness());
  }

  /**
   * Enrols and starts one node agent and waits until the coordinator calls it online. `name` defaults to the first
   * free of node-1, node-2, …; the name of a stopped node brings it back with its old key.
   */
  async addNode(name = this.#freeName()): Promise<NodeHandle> {
    this.#names.add(name);
    const { stateDir, nodeOptions } = this.#options;
    const starting = startNode(this.operator, name, path.join(stateDir, "nodes", name), nodeOptions);
    const node = await starting.catch((error: unknown) => {
      this.#names.delete(name);
      throw error;
    });
    this.nodes.push(node);
    void node.process.ended.then(() => {
      this.#names.delete(name);
      this.nodes.splice(this.nodes.indexOf(node), 1);
    });
    return node;
  }

  /** Ends workerd (by default as a crash would) and starts it again on the same port and state. Nodes stay. */
  async restartWorkerd(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const port = this.#workerd?.ports.get("api") ?? 0;
    await this.workerd.stop(2000, signal);
    await this.#startWorkerd(port);
    if (this.#options.warm !== false) await this.waitReady();
  }

  /** True from the moment `stop()` is called: the end of a process is no failure any more. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** Ends every process: nodes first, so that they can say goodbye, then workerd. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.nodes].map((node) => node.process.stop()));
    await this.#workerd?.child.stop(1000);
    this.#takeBack?.();
  }

  async #startWorkerd(port: number): Promise<void> {
    const { stateDir, vars = {}, v8Flags, extraWorkers = [], experimental = false, onLog } = this.#options;
    const extra = this.#bundles.filter(({ config }) => extraWorkers.includes(config)).map(({ spec }) => spec.name);
    const sockets = [
      { name: "api", address: `${HOST}:${port}`, service: this.#bundles[0]!.spec.name },
      ...extra.map((name) => ({ name, address: `${HOST}:0`, service: name })),
    ];
    const config = path.join(stateDir, "workerd.capnp");
    const storageFolder = this.objectsFolder;
    const options = { configFolder: stateDir, storageFolder, vars, sockets, ...(v8Flags && { v8Flags }) };
    await writeFile(config, workerdConfig(this.#bundles, options));
    this.#workerd = await startWorkerd(
      config,
      sockets.map((socket) => socket.name),
      { ...this.#secrets },
      { experimental, onLine: onLog },
    );
  }

  #freeName(): string {
    for (let i = 1; ; i++) if (!this.#names.has(`node-${i}`)) return `node-${i}`;
  }
}

/** Rejects with one clear sentence when something else listens on the port. */
export async function assertPortFree(port: number): Promise<void> {
  const server = net.createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reason = error.code === "EADDRINUSE" ? "is in use by another program" : `cannot be used (${error.message})`;
      reject(new Error(`Port ${port} ${reason}. Choose another: PORT=${port + 1} npm start`));
    });
    server.listen(port, HOST, resolve);
  });
  await new Promise((resolve) => server.close(resolve));
}
