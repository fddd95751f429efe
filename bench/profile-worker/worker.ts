/**
 * The stages of one application with the runtime and the settings of the edge. They come with a request, so that any
 * application can be measured, bundled or not. The caller takes the time: where a Worker is deployed, its own clock
 * stands still while it computes.
 *
 *   POST /load                 form: `application` (its JSON) and a file `stage-<rung>` for each rung; answers once loaded
 *   POST /run/<rung>/<count>   runs the stage of a rung that often, one after another, on an input of no meaning
 */
import type { Application } from "../../protocol/application.ts";
import { OnnxRuntime } from "../../functions/inference/onnx.ts";
import type { StageRunner } from "../../runtime/stage-runner.ts";
import { exampleState } from "../lib/example-state.ts";

const TOP_K = 1;

let runner: StageRunner | undefined;

export default {
  async fetch(request: Request): Promise<Response> {
    const [action, rung, count] = new URL(request.url).pathname.slice(1).split("/");
    if (action === "load") {
      runner = await load(await request.formData());
    } else {
      if (!runner) return new Response("nothing is loaded", { status: 409 });
      const state = exampleState(runner.application, Number(rung));
      for (let i = 0; i < Number(count); i++) await runner.run(state, Number(rung), TOP_K);
    }
    return new Response(null, { status: 204 });
  },
};

async function load(form: FormData): Promise<StageRunner> {
  const application = JSON.parse(form.get("application") as string) as Application;
  const stages = await Promise.all(
    application.rungs.map((_, rung) => (form.get(`stage-${rung}`) as File).arrayBuffer()),
  );
  const runtime = new OnnxRuntime({ platform: "measured", applications: [{ application, stages }] });
  const loaded = (await runtime.load()).runners.get(application.name);
  if (!loaded) throw new Error(`${application.name} is not among what was loaded`);
  return loaded;
}
