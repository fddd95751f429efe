/**
 * The bare model: the same runtime and stages as the inference Worker, behind a fetch handler and nothing else.
 *
 *   POST /run/<application>/<rung>   raw input tensor in, the rung's answer out; stages of its chain are run one by one
 *   GET  /inference                  what every real inference Worker says of its isolate, all sessions loaded, by binding
 */
import type { InferenceRpc } from "../../protocol/services.ts";
import { bundle } from "../../functions/generated/vision.ts";
import { OnnxRuntime } from "../../functions/inference/onnx.ts";

const runtime = new OnnxRuntime(bundle);

export default {
  async fetch(request: Request, env: Record<string, InferenceRpc>): Promise<Response> {
    const [action, application = "", rung] = new URL(request.url).pathname.slice(1).split("/");
    if (action === "inference") {
      const reports = await Promise.all(Object.entries(env).map(async ([name, stub]) => [name, await stub.warm()]));
      return Response.json(Object.fromEntries(reports));
    }
    const { runners } = await runtime.load();
    const runner = runners.get(application);
    if (action !== "run" || !runner) return new Response("no such application", { status: 404 });
    const { datatype, shape } = runner.application.input;
    const input = { datatype, shape, bytes: await request.arrayBuffer() };
    const state = await runner.begin({ from: "input", input });
    const chain: number[] = [];
    for (let at: number | "input" = Number(rung); at !== "input";) {
      chain.unshift(at);
      at = runner.application.rungs[at]?.resumesFrom ?? "input";
    }
    let answer: unknown;
    for (const stage of chain) answer = await runner.run(state, stage, 5);
    return Response.json(answer);
  },
};
