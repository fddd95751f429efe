/** Calls the inference Worker across a service binding, as the API Worker does, and answers what came of it. */
import type { EdgeJobMessage } from "../../protocol/inference.ts";
import { claim, edgeOption, job, message, plan } from "./jobs.ts";
import type { Inference } from "./worker.ts";

/** One job on the fixture application `slow`. */
export type JobWish = { rung: number; minRung: number; remainingMs: number; cancel?: boolean; user?: string };

type Env = { INFERENCE: Service<typeof Inference> };

const toJob = ({ rung, minRung, remainingMs, user }: JobWish): EdgeJobMessage =>
  message({ ...job("slow", plan([edgeOption(rung, minRung)]), remainingMs), claim: claim(user) });

/** Runs all at once. Results come in the order in which they came back; `index` says which wish each belongs to. */
async function together(env: Env, wishes: readonly JobWish[]): Promise<object[]> {
  const finished: object[] = [];
  const one = async (wish: JobWish, index: number): Promise<void> => {
    const ticket = crypto.randomUUID();
    const result = env.INFERENCE.run(ticket, toJob(wish));
    if (wish.cancel) await env.INFERENCE.cancel(ticket);
    finished.push({ ...(await result), index });
  };
  await Promise.all(wishes.map(one));
  return finished;
}

/** The tickets of jobs that have been let in and run. */
async function begun(env: Env, wishes: readonly JobWish[]): Promise<string[]> {
  const tickets = wishes.map(() => crypto.randomUUID());
  for (const [index, wish] of wishes.entries()) {
    env.INFERENCE.run(tickets[index] ?? "", toJob(wish)).catch(() => undefined);
  }
  // Calls of one caller arrive in their order.
  await env.INFERENCE.debug();
  return tickets;
}

export default {
  async fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response> {
    switch (new URL(request.url).pathname) {
      case "/warm":
        return Response.json(await env.INFERENCE.warm());
      case "/debug":
        return Response.json(await env.INFERENCE.debug());
      case "/together":
        return Response.json(await together(env, await request.json<JobWish[]>()));
      // As the API does at its margin: the reply goes out while the jobs are in mid-run.
      case "/leave": {
        const wishes = await request.json<JobWish[]>();
        const tickets = await begun(env, wishes);
        ctx.waitUntil(Promise.all(tickets.map((ticket) => env.INFERENCE.cancel(ticket))));
        return Response.json("left");
      }
      // As when nobody lives to cancel anything.
      case "/vanish": {
        await begun(env, await request.json<JobWish[]>());
        return Response.json("gone");
      }
      default:
        return new Response(null, { status: 404 });
    }
  },
};
