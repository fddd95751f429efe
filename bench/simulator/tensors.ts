/** Tensors of the right size and no content: what travels in a simulated world is only its length. */
import { rungAt } from "../../control/ladder.ts";
import type { Application } from "../../protocol/application.ts";
import type { InputTensor, PackedTensor } from "../../protocol/tensor.ts";

const inputs = new WeakMap<Application, InputTensor>();
const cuts = new WeakMap<Application, Map<number, PackedTensor>>();

export function inputOf(application: Application): InputTensor {
  let tensor = inputs.get(application);
  if (!tensor) {
    const { datatype, shape, bytes } = application.input;
    inputs.set(application, (tensor = { datatype, shape, bytes: new ArrayBuffer(bytes) }));
  }
  return tensor;
}

/** The tensor that the stage of `rung` leaves, at 8 bits; undefined where nothing resumes from it. */
export function cutOf(application: Application, rung: number): PackedTensor | undefined {
  const known = cuts.get(application) ?? new Map<number, PackedTensor>();
  cuts.set(application, known);
  const { cut } = rungAt(application, rung);
  if (!cut) return undefined;
  const packed: PackedTensor = known.get(rung) ?? {
    shape: cut.shape,
    code: "u8",
    scale: 1,
    zero: 0,
    deflated: true,
    bytes: new ArrayBuffer(Math.round(cut.bytes.u8)),
  };
  known.set(rung, packed);
  return packed;
}
