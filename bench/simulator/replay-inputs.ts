/** Real inputs: what the committed networks answered to a held-out split, instead of a model of it. */
import type { Application } from "../../protocol/application.ts";
import { readReplay, type SplitName } from "../lib/replay.ts";
import { InputTable } from "./inputs.ts";

/**
 * One row per sample of the split. `validation` is for choosing parameters, `test` for reporting. Rejects with RangeError
 * where the recording is of another ladder than the application's.
 */
export async function replayInputs(application: Application, split: SplitName): Promise<InputTable> {
  const { rungs, splits } = await readReplay(application.name);
  const names = application.rungs.map(({ name }) => name);
  if (rungs.join() !== names.join()) {
    throw new RangeError(`bench/replay/${application.name}.json is of ${rungs.join()}, the ladder is ${names.join()}`);
  }
  const recorded = splits[split];
  const bins = new Uint8Array(recorded.count * names.length);
  const right = new Uint8Array(recorded.count * names.length);
  for (let row = 0; row < recorded.count; row++) {
    for (const [rung, { evidence }] of application.rungs.entries()) {
      const answer = recorded.answer(row, rung);
      if (answer.bin >= evidence.length) {
        throw new RangeError(`bench/replay/${application.name}.json: rung ${rung} has no evidence row ${answer.bin}`);
      }
      bins[row * names.length + rung] = answer.bin;
      right[row * names.length + rung] = answer.right ? 1 : 0;
    }
  }
  return new InputTable(application, bins, right);
}
