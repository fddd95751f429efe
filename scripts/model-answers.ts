/** Runs a committed ladder, stage after stage as it is served, over its held-out data; and says which ladder that was. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Samples, Split, SplitsModule } from "../models/training/splits.ts";
import { openNative } from "../nodes/onnx.ts";
import type { Application } from "../protocol/application.ts";
import { StageRunner } from "../runtime/stage-runner.ts";
import type { RungAnswers } from "./evaluation.ts";
import { MODELS } from "./models-folder.ts";

/** The data of an application is not on this machine; the message says what to install. */
export class DataMissing extends Error {}

/** Reads a split of an application. Rejects with DataMissing. */
export async function readSplit(name: string, split: Split): Promise<Samples> {
  const module = (await import(`../models/training/${name}/splits.ts`)) as SplitsModule;
  try {
    return await module.readSplit(split);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new DataMissing(`${name}: the ${split} data cannot be read (${why}).\n${name}: ${module.install}.`);
  }
}

/** Every rung's answer to every sample, natively, one at a time. */
export async function answersOf(application: Application, { samples }: Samples, what: string): Promise<RungAnswers[]> {
  const folder = path.join(MODELS, application.name);
  const sessions = await Promise.all(application.rungs.map(({ stage }) => openNative(path.join(folder, stage))));
  const runner = new StageRunner(application, sessions);
  const answers = application.rungs.map(() => ({
    confidence: new Float64Array(samples.length),
    bin: new Uint8Array(samples.length),
    right: new Uint8Array(samples.length),
  }));
  for (const [i, { input, label }] of samples.entries()) {
    const state = await runner.begin({ from: "input", input });
    for (const [rung, into] of answers.entries()) {
      const { confidence, bin, top } = await runner.run(state, rung, 1);
      into.confidence[i] = confidence;
      into.bin[i] = bin;
      into.right[i] = top[0]?.[0] === label ? 1 : 0;
    }
    if (process.stderr.isTTY && i % 500 === 0)
      process.stderr.write(`\r${application.name}, ${what}: ${i} of ${samples.length}`);
  }
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  return answers;
}

/** Both held-out splits, answered. Rejects with DataMissing. */
export async function answerSplits(
  application: Application,
): Promise<{ validation: RungAnswers[]; test: RungAnswers[]; source: string }> {
  const [validation, test] = [
    await readSplit(application.name, "validation"),
    await readSplit(application.name, "test"),
  ];
  return {
    validation: await answersOf(application, validation, "validation"),
    test: await answersOf(application, test, "test"),
    source: test.source,
  };
}

/**
 * Names what answers depend on: the bytes of the stages, how inputs reach them, temperatures, evidence, costs. It tells
 * results of this ladder from those of an earlier one; milliseconds, tiers and packed sizes do not change it.
 */
export async function fingerprint(application: Application): Promise<string> {
  const hash = createHash("sha256");
  const { labels, input, rungs } = application;
  hash.update(JSON.stringify([labels, input.shape, input.preprocessing]));
  for (const { name, stage, resumesFrom, take, mflops, temperature, evidence } of rungs) {
    hash.update(JSON.stringify([name, resumesFrom, take ?? null, mflops.own, temperature, evidence]));
    hash.update(await readFile(path.join(MODELS, application.name, stage)));
  }
  return hash.digest("hex").slice(0, 16);
}
