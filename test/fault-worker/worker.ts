/**
 * Takes Durable Objects out of memory by workerd's own means, for tests of the whole system.
 *
 *   POST /evict/<binding>/<id>   the object leaves memory; its hibernating sockets stay open
 *   POST /abort                  every object of the process is aborted in whatever it does, as by a deploy
 */

/** The part of workerd's module that is used here; its types are in no published package. */
type Unsafe = {
  evict(stub: DurableObjectStub, options: { webSockets: "close" | "hibernate" }): Promise<void>;
  abortAllDurableObjects(): Promise<void>;
};

/** Not a literal in `import`: the bundler would look for it. */
const UNSAFE_MODULE: string = "workerd:unsafe";

export default {
  async fetch(request: Request, env: Readonly<Record<string, DurableObjectNamespace | undefined>>): Promise<Response> {
    const { default: unsafe } = (await import(UNSAFE_MODULE)) as { default: Unsafe };
    const [action, binding = "", id = ""] = new URL(request.url).pathname.slice(1).split("/");
    if (action === "abort") {
      await unsafe.abortAllDurableObjects();
      return new Response("aborted");
    }
    const namespace = env[binding];
    if (action !== "evict" || !namespace) return new Response("no such fault", { status: 404 });
    await unsafe.evict(namespace.get(namespace.idFromString(id)), { webSockets: "hibernate" });
    return new Response("evicted");
  },
};
