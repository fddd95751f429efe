/** What `npm start` shows: a sample image with its label, a demo user's key that survives restarts, and the first requests. */
import { readFile, writeFile } from "node:fs/promises";
import { globSync } from "node:fs";
import path from "node:path";
import type { Operator } from "./operator.ts";
import { ROOT } from "./workers.ts";

/** The deadline of the printed request: room for the node's heavy rung on a laptop. */
export const DEMO_DEADLINE_MS = 200;
/** How long the controller may take to hear of the node: it asks the coordinator at most once a second. */
const MEET_NODE_BOUND_MS = 2500;
/** After which the runtime has compiled what it will, at the edge and on the node. */
const WARM_UP_REQUESTS = 5;

export type Sample = {
  application: string;
  /** Relative to the repository. */
  file: string;
};

/** The first sample image of the first application that has any; null when none has. */
export async function firstSample(): Promise<Sample | null> {
  const [labels] = globSync("models/*/samples/labels.json", { cwd: ROOT }).sort();
  if (labels === undefined) return null;
  const folder = path.posix.dirname(labels.split(path.sep).join("/"));
  const [file] = Object.keys(JSON.parse(await readFile(path.join(ROOT, labels), "utf8")) as Record<string, string>);
  if (file === undefined) throw new Error(`${labels} names no image`);
  return { application: folder.split("/")[1]!, file: `${folder}/${file}` };
}

/** The demo user's key: the kept one if this system still takes it, else a new user's. */
export async function demoKey(operator: Operator, keptIn: string, sample: Sample | null): Promise<string> {
  const kept = await readFile(keptIn, "utf8").catch(() => "");
  if (kept !== "" && sample && (await request(operator.url, kept, sample)).status !== 401) return kept;
  const { apiKey } = await operator.createUser();
  await writeFile(keptIn, apiKey, { mode: 0o600 });
  return apiKey;
}

/**
 * Sends the printed request until the system is warm and the user's plans hold a node; goes on without one after 2.5 s.
 * Rejects with the problem's text when a request is not answered 200.
 */
export async function warmUp(url: string, apiKey: string, sample: Sample): Promise<void> {
  const until = performance.now() + MEET_NODE_BOUND_MS;
  for (
    let sent = 0;
    sent < WARM_UP_REQUESTS || (performance.now() < until && !(await plansNode(url, apiKey, sample)));
  ) {
    await text(await request(url, apiKey, sample));
    sent++;
  }
}

async function plansNode(url: string, apiKey: string, { application }: Sample): Promise<boolean> {
  const route = `${url}/v1/plan/${application}?deadline_ms=${DEMO_DEADLINE_MS}`;
  const response = await fetch(route, { method: "POST", headers: { authorization: `Bearer ${apiKey}` } });
  const { options } = JSON.parse(await text(response)) as { options: { tier: string }[] };
  return options.some(({ tier }) => tier === "node");
}

async function text(response: Response): Promise<string> {
  const body = await response.text();
  if (!response.ok) throw new Error(`the demo request was answered ${response.status}: ${body.slice(0, 500)}`);
  return body;
}

/** The command that sends the same request, for a shell in the repository's folder. */
export function curlLine(url: string, apiKey: string, sample: Sample): string {
  const headers = `-H 'Authorization: Bearer ${apiKey}' -H 'Content-Type: image/png'`;
  return `curl '${inferUrl(url, sample)}' ${headers} --data-binary @${sample.file}`;
}

async function request(url: string, apiKey: string, sample: Sample): Promise<Response> {
  return fetch(inferUrl(url, sample), {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "image/png" },
    body: await readFile(path.join(ROOT, sample.file)),
  });
}

function inferUrl(url: string, sample: Sample): string {
  return `${url}/v1/infer/${sample.application}?deadline_ms=${DEMO_DEADLINE_MS}`;
}
