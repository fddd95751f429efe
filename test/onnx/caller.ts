/** Calls the inference Worker across a service binding, as the API Worker does, and answers what came of it. */
import type { EdgeJobMessage } from "../../protocol/inference.ts";
import { claim, edgeOption, job, message, plan } from "./jobs.ts";
import type { Inference } from "./worker.ts";

/** One job on the fixture application `slow`. */
export type JobWish = { rung: number; minRung: number; remainingMs: number; cancel?: boolean; user?: string };

type Env = { INFERENCE: Service<typeof Inference> };

const toJob = ({ rung, minRung, remainingMs, user }: JobWish): EdgeJobMessage =>
  message({ ...job("slow", plan([edgeOption(rung, minRung)]), remainingMs), claim: claim(user) });

/** Opens all at once. Results come in the order in which they came back; `index` says which wish each belongs to. */
async function together(env: Env, wishes: readonly JobWish[]): Promise<object[]> {
  const finished: object[] = [];
  const one = async (wish: JobWish, index: number): Promise<void> => {
    using running = await env.INFERENCE.open(toJob(wish));
    const result = running.result();
    if (wish.cancel) await running.cancel();
    finished.push({ ...(await result), index });
  };
  await Promise.all(wishes.map(one));
  return finished;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    switch (new URL(request.url).pathname) {
      case "/warm":
        return Response.json(await env.INFERENCE.warm());
      case "/debug":
        return Response.json(await env.INFERENCE.debug());
      case "/together":
        return Response.json(await together(env, await request.json<JobWish[]>()));
      case "/pipelined": {
        const [wish] = await request.json<[JobWish]>();
        return Response.json(await env.INFERENCE.open(toJob(wish)).result());
      }
      // As the API does at its margin: the reply goes out while the jobs are in mid-run.
      case "/leave": {
        const wishes = await request.json<JobWish[]>();
        await Promise.all(wishes.map((wish) => env.INFERENCE.open(toJob(wish))));
        return Response.json("left");
      }
      default:
        return new Response(null, { status: 404 });
    }
  },
};
