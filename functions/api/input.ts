/** From a posted body to the application's input tensor, by the kind of preprocessing its contract names. */
import type { Application } from "../../protocol/application.ts";
import type { InputTensor } from "../../protocol/tensor.ts";
import { tableTensor } from "../../runtime/table.ts";
import { bytesTensor } from "../../runtime/text-bytes.ts";
import { parseJson } from "./body.ts";
import { acceptedType, decodeImage } from "./decode.ts";

/** Throws DystriError; whatever is wrong with the body is the client's problem: 4xx. */
export async function readInput(
  application: Application,
  contentType: string | null,
  body: Uint8Array,
): Promise<InputTensor> {
  const { preprocessing } = application.input;
  switch (preprocessing.kind) {
    case "image":
      return decodeImage(application, preprocessing, contentType, body);
    case "table":
      acceptedType(application, contentType, body);
      return tableTensor(parseJson(body, "a JSON array of numbers"), preprocessing);
    case "bytes":
      acceptedType(application, contentType, body);
      return bytesTensor(body, preprocessing);
  }
}
