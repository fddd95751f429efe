import { readFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Application } from "../../protocol/application.ts";
import { greyPng } from "../support/images.ts";
import { samples, SAMPLES, System, type Sample } from "./support.ts";

/** The whole path once, on either clock: as the platform's is here, and standing still between I/O as it does deployed. */
describe.each(["system", "io"])("the whole path on the %s clock", (clock) => {
  let system: System;
  let all: Sample[];
  let unsure: Sample[];
  let application: Application;

  beforeAll(async () => {
    system = await System.start({ nodes: 1, vars: { DYSTRI_CLOCK: clock } });
    application = JSON.parse(await readFile(path.join(SAMPLES, "../app.json"), "utf8")) as Application;
    all = await samples();
    unsure = (await system.sortByConfidence()).unsure;
    await system.untilNodeAnswers(unsure[0] as Sample);
  });
  afterAll(() => system?.close());

  test("every sample is answered on time, as right as the ladder says", async () => {
    const replies = [];
    for (const sample of all) replies.push(await system.infer(sample));
    expect(replies.every((reply) => reply.deadline_met && !reply.degraded)).toBe(true);
    const right = replies.filter((reply, i) => reply.label === all[i]?.label).length;
    expect(right / all.length).toBeGreaterThan(0.75);
    expect(new Set(replies.map((reply) => reply.tier))).toEqual(new Set(["edge", "node"]));
  });

  test("a reply says where, how deep, how sure, how long and why", async () => {
    const response = await system.post(
      "/v1/infer/clothing?deadline_ms=5000&top_k=3",
      new Uint8Array((unsure[0] as Sample).png),
    );
    const reply = (await response.json()) as Record<string, unknown>;
    expect(reply).toMatchObject({
      application: "clothing",
      exit: application.rungs.length,
      exits_total: application.rungs.length,
      tier: "node",
      node: system.cluster.nodes[0]?.id,
      deadline_ms: 5000,
      deadline_met: true,
      degraded: false,
    });
    for (const field of ["score", "confidence", "predicted_ms", "total_ms", "queue_ms", "compute_ms"]) {
      expect(reply[field], field).toEqual(expect.any(Number));
    }
    expect(reply["top"]).toHaveLength(3);
    expect(response.headers.get("server-timing")).toMatch(/decide;dur=[\d.]+.*edge;.*node;.*total;dur=/);
    expect(response.headers.get("x-request-id")).toBeTruthy();
  });

  test("wishes bind: max_exit and tier", async () => {
    const sample = unsure[0] as Sample;
    expect(await system.infer(sample, "deadline_ms=5000&max_exit=2")).toMatchObject({ exit: 2, tier: "edge" });
    expect((await system.infer(sample, "deadline_ms=5000&tier=edge")).tier).toBe("edge");
    expect(await system.infer(sample, "deadline_ms=5000&tier=node")).toMatchObject({ tier: "node" });
  });

  test("a deadline nothing can make is refused before work, with what it would take", async () => {
    const response = await system.post("/v1/infer/clothing?deadline_ms=1", new Uint8Array((all[0] as Sample).png));
    const problem = (await response.json()) as Record<string, unknown>;
    expect(response.status).toBe(504);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(problem["hint"]).toMatch(/deadline_ms/);
  });

  test("the Open Inference Protocol gives the same answer for the same pixels", async () => {
    // A drawn trouser leg: pixels that are known without decoding anything.
    const grey = (x: number, y: number) => (y > 3 && (Math.abs(x - 10) < 3 || Math.abs(x - 18) < 3) ? 200 : 0);
    const data = Array.from({ length: 784 }, (_, i) => grey(i % 28, Math.floor(i / 28)));
    const input = { name: "image", shape: [1, 1, 28, 28], datatype: "UINT8", data };
    const body = JSON.stringify({
      id: "r1",
      inputs: [input],
      parameters: { deadline_ms: 5000, tier: "edge", max_exit: 2 },
    });
    const response = await system.post("/v2/models/clothing/infer", body, { type: "application/json" });
    const reply = (await response.json()) as {
      id: string;
      outputs: { name: string; data: unknown[] }[];
      parameters: Record<string, unknown>;
    };
    expect(response.status).toBe(200);
    expect(reply.id).toBe("r1");
    expect(reply.parameters).toMatchObject({ tier: "edge", deadline_met: true });
    const image = { file: "drawn", label: "trouser", png: Buffer.from(await greyPng(28, 28, grey)) };
    const same = await system.infer(image, "deadline_ms=5000&tier=edge&max_exit=2");
    expect(reply.outputs.find((output) => output.name === "label")?.data).toEqual([same.label]);
    expect(reply.parameters["confidence"]).toBeCloseTo(same.confidence, 6);
  });

  test("health, models and applications are there for anyone", async () => {
    for (const route of ["/v2/health/live", "/v2/health/ready", "/v2/models/clothing", "/v1/applications"]) {
      expect((await fetch(system.cluster.url + route)).status, route).toBe(200);
    }
  });
});
