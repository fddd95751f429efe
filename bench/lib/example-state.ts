/** Something for a stage to read where only its time matters. */
import { rungAt, type From } from "../../control/ladder.ts";
import type { Application } from "../../protocol/application.ts";
import { elements } from "../../runtime/application.ts";
import { exampleInput, normalise } from "../../runtime/normalise.ts";
import type { RuntimeTensor } from "../../runtime/session.ts";
import type { StageState } from "../../runtime/stage-runner.ts";

/** What the stage of `rung` reads, filled with values of no meaning: a dense network takes as long for any. */
export function exampleState(application: Application, rung: number): StageState {
  const { resumesFrom } = rungAt(application, rung);
  const held =
    resumesFrom === "input" ? normalise(application, exampleInput(application)) : example(application, resumesFrom);
  return { held: new Map<From, RuntimeTensor>([[resumesFrom, held]]) };
}

function example(application: Application, rung: number): RuntimeTensor {
  const shape = rungAt(application, rung).cut?.shape ?? [];
  const data = Float32Array.from({ length: elements(shape) }, (_, i) => ((i * 37) % 100) / 100);
  return { type: "float32", data, dims: [1, ...shape] };
}
