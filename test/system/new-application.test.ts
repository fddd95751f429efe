import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Application } from "../../protocol/application.ts";
import type { LocalCluster } from "../../scripts/local-cluster.ts";
import { ROOT } from "../../scripts/workers.ts";
import { png } from "../support/images.ts";
import type { Reply } from "./support.ts";

/**
 * Adding an application is adding a folder: a copy of the sources gets a models folder with one application that
 * nothing in the repository has heard of, and serves it. Nothing else is added or edited.
 */
const NAME = "bars-and-crosses";
const SOURCES = ["control", "durable-objects", "functions", "nodes", "protocol", "runtime", "scripts"];
const FILES = ["models/app.schema.json", "package.json", "package-lock.json", "tsconfig.base.json", "wrangler.toml"];
const FIXTURE = path.join(ROOT, "test/fixtures/tiny");

type Sample = { bytes: string; logits: number[][] };

const fixture = (file: string): string => readFileSync(path.join(FIXTURE, file), "utf8");
const samples = JSON.parse(fixture("samples.json")) as Sample[];
const application = { ...(JSON.parse(fixture("app.json")) as Application), name: NAME };

let copy: string;
let cluster: LocalCluster;
let apiKey: string;

beforeAll(async () => {
  copy = mkdtempSync(path.join(tmpdir(), "dystri-new-application-"));
  for (const name of [...SOURCES, ...FILES]) {
    const filter = (file: string): boolean => !file.endsWith(`${path.sep}generated`);
    cpSync(path.join(ROOT, name), path.join(copy, name), { recursive: true, filter });
  }
  symlinkSync(path.join(ROOT, "node_modules"), path.join(copy, "node_modules"), "junction");
  const folder = path.join(copy, "models", NAME);
  mkdirSync(folder);
  for (const { stage } of application.rungs) cpSync(path.join(FIXTURE, stage), path.join(folder, stage));
  writeFileSync(path.join(folder, "app.json"), JSON.stringify(application));

  const scripts = (await import(
    path.join(copy, "scripts/local-cluster.ts")
  )) as typeof import("../../scripts/local-cluster.ts");
  cluster = new scripts.LocalCluster({ stateDir: path.join(copy, ".dystri"), nodes: 1 });
  await cluster.start();
  apiKey = (await cluster.createUser()).apiKey;
});
afterAll(async () => {
  await cluster?.stop();
  rmSync(copy, { recursive: true, force: true });
});

test("it is listed", async () => {
  const response = await fetch(`${cluster.url}/v1/applications`);
  expect(await response.json()).toMatchObject({
    applications: [{ name: NAME, platform: application.platform, labels: application.labels }],
  });
});

test.each(["edge", "node"] as const)("it answers on the %s as its network does", async (tier) => {
  const rungs = application.rungs.flatMap(({ tiers }, rung) => (tiers.includes(tier) ? [rung] : []));
  for (const sample of samples) {
    const reply = await infer(sample, `deadline_ms=10000&min_confidence=1&tier=${tier}`);
    expect(reply.tier).toBe(tier);
    expect(rungs).toContain(reply.exit - 1);
    const logits = sample.logits[reply.exit - 1] ?? [];
    expect(reply.label).toBe(application.labels[logits.indexOf(Math.max(...logits))]);
  }
});

async function infer(sample: Sample, query: string): Promise<Reply> {
  const [, height = 0, width = 0] = application.input.shape;
  const body = await png({ width, height, colour: 0, samples: [...Buffer.from(sample.bytes, "base64")] });
  const headers = { authorization: `Bearer ${apiKey}`, "content-type": "image/png" };
  const response = await fetch(`${cluster.url}/v1/infer/${NAME}?${query}`, {
    method: "POST",
    headers,
    body: new Uint8Array(body),
  });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return JSON.parse(text) as Reply;
}
