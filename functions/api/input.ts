/** From a posted body to the application's input tensor, by the kind of preprocessing its contract names. */
import type { Application } from "../../protocol/application.ts";
import type { InputTensor } from "../../protocol/tensor.ts";
import { inputTensor } from "../../runtime/input-tensor.ts";
import { acceptedType, decodeImage } from "./decode.ts";

/** Throws DystriError; whatever is wrong with the body is the client's problem: 4xx. */
export async function readInput(
  application: Application,
  contentType: string | null,
  body: Uint8Array,
): Promise<InputTensor> {
  const { preprocessing } = application.input;
  if (preprocessing.kind === "image") return decodeImage(application, preprocessing, contentType, body);
  acceptedType(application, contentType, body);
  return inputTensor(preprocessing, body);
}
