/**
 * The floor of the front: a Worker that only answers, and one that asks an object first, with texts as long as a plan
 * request and a plan.
 *
 *   POST /nothing   answers
 *   POST /object    one round trip to a Durable Object, then answers
 */
import { DurableObject } from "cloudflare:workers";

const QUESTION = "q".repeat(200);
const ANSWER = "a".repeat(850);
const OBJECTS = 8;

let asked = 0;

export class Echo extends DurableObject {
  async answer(question: string): Promise<string> {
    return question.length > 0 ? ANSWER : "";
  }
}

export default {
  async fetch(request: Request, env: { ECHO: DurableObjectNamespace<Echo> }): Promise<Response> {
    if (new URL(request.url).pathname === "/nothing") return new Response("nothing");
    return new Response(await env.ECHO.getByName(`echo ${asked++ % OBJECTS}`).answer(QUESTION));
  },
};
