/** The committed samples of every application: what is posted, its label, and what every rung answers to it. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Application } from "../../protocol/application.ts";
import { answersOf } from "../../scripts/model-answers.ts";
import { MODELS } from "../../scripts/models-folder.ts";
import { sampleInput } from "../../scripts/sample-input.ts";
import { InputTable } from "../simulator/inputs.ts";

export type Sample = { body: Uint8Array; label: string };

/** Row i of `table` is sample i. */
export type Samples = { application: Application; contentType: string; samples: Sample[]; table: InputTable };

/** Reads the samples of an application and has every rung answer them natively, as a node would. */
export async function loadSamples(application: Application): Promise<Samples> {
  const { name, labels, input, rungs } = application;
  const folder = path.join(MODELS, name, "samples");
  const named = JSON.parse(await readFile(path.join(folder, "labels.json"), "utf8")) as Record<string, string>;
  const samples: Sample[] = [];
  const inputs = [];
  for (const [file, label] of Object.entries(named)) {
    samples.push({ body: new Uint8Array(await readFile(path.join(folder, file))), label });
    inputs.push({ input: await sampleInput(application, path.join(folder, file)), label: labels.indexOf(label) });
  }
  const answers = await answersOf(application, { samples: inputs, source: "samples" }, "samples");
  const column = (of: "bin" | "right"): Uint8Array =>
    Uint8Array.from({ length: samples.length * rungs.length }, (_, i) => {
      const rung = i % rungs.length;
      return answers[rung]?.[of][(i - rung) / rungs.length] ?? 0;
    });
  return {
    application,
    contentType: input.accepts[0] ?? "application/octet-stream",
    samples,
    table: new InputTable(application, column("bin"), column("right")),
  };
}
