import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Application } from "../../protocol/application.ts";
import { MODELS, applicationNames, loadApplication } from "../../scripts/models-folder.ts";
import { System, type Reply } from "./support.ts";

/** Every committed application answers over HTTP from its own samples, whatever its platform and kind of input. */
let system: System;
const names = await applicationNames();

beforeAll(async () => {
  system = await System.start({ nodes: 1 });
});
afterAll(() => system?.close());

const TYPES: Record<string, string> = {
  ".png": "image/png",
  ".json": "application/json",
  ".txt": "text/plain",
  ".wav": "audio/wav",
};

type Sample = { file: string; label: string };

async function samplesOf(name: string): Promise<Sample[]> {
  const labels = JSON.parse(await readFile(path.join(MODELS, name, "samples/labels.json"), "utf8")) as Record<
    string,
    string
  >;
  return Object.entries(labels).map(([file, label]) => ({ file, label }));
}

async function answer(name: string, { file }: Sample, query: string): Promise<Reply> {
  const body = new Uint8Array(await readFile(path.join(MODELS, name, "samples", file)));
  const type = TYPES[path.extname(file)] ?? "application/octet-stream";
  const response = await system.post(`/v1/infer/${name}?${query}`, body, { type });
  const text = await response.text();
  expect(response.status, `${name} ${file}: ${text}`).toBe(200);
  return JSON.parse(text) as Reply;
}

/** The fewest right answers of `n` that a model of that accuracy gives in all but a few of ten thousand drawings. */
function fewestRight(application: Application, n: number): number {
  const share = Math.min(...application.rungs.map((rung) => rung.quality.test));
  return Math.floor(n * share - 3.5 * Math.sqrt(n * share * (1 - share)));
}

test("the API lists them all", async () => {
  const response = await fetch(`${system.cluster.url}/v1/applications`);
  const { applications } = (await response.json()) as { applications: { name: string }[] };
  expect(applications.map((application) => application.name).sort()).toEqual(names);
});

test.each(names)("%s answers its samples, on time and about as right as its ladder says", async (name) => {
  const application = await loadApplication(name);
  const samples = await samplesOf(name);
  expect(samples.length).toBeGreaterThanOrEqual(20);
  expect((await readdir(path.join(MODELS, name, "samples"))).length).toBe(samples.length + 1);
  const replies: Reply[] = [];
  for (const sample of samples) replies.push(await answer(name, sample, "deadline_ms=5000"));
  for (const [i, reply] of replies.entries()) {
    expect(application.labels).toContain(samples[i]?.label);
    expect(application.labels).toContain(reply.label);
    expect(reply).toMatchObject({ deadline_met: true, exits_total: application.rungs.length });
  }
  const right = replies.filter((reply, i) => reply.label === samples[i]?.label).length;
  expect(right).toBeGreaterThanOrEqual(fewestRight(application, samples.length));
});

test.each(names)("%s answers from every rung that runs at the edge", async (name) => {
  const application = await loadApplication(name);
  const [sample] = await samplesOf(name);
  if (!sample) throw new Error("no sample");
  for (const [rung, { tiers }] of application.rungs.entries()) {
    if (!tiers.includes("edge")) continue;
    const reply = await answer(name, sample, `deadline_ms=5000&tier=edge&max_exit=${rung + 1}&min_confidence=1`);
    expect(reply.tier).toBe("edge");
    expect(reply.exit).toBeLessThanOrEqual(rung + 1);
  }
});
