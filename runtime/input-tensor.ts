/** From a posted body to the application's input tensor, for every kind of input but images, whose codecs differ by platform. */
import type { ImagePreprocessing, Preprocessing } from "../protocol/application.ts";
import type { InputTensor } from "../protocol/tensor.ts";
import { parseJson } from "./json-body.ts";
import { logMelTensor } from "./log-mel.ts";
import { tableTensor } from "./table.ts";
import { bytesTensor } from "./text-bytes.ts";
import { tokensTensor } from "./text-tokens.ts";
import { readWav } from "./wav.ts";

/** Throws DystriError naming what is wrong with the body. */
export function inputTensor(preprocessing: Exclude<Preprocessing, ImagePreprocessing>, body: Uint8Array): InputTensor {
  switch (preprocessing.kind) {
    case "table":
      return tableTensor(parseJson(body, "a JSON array of numbers"), preprocessing);
    case "log-mel":
      return logMelTensor(readWav(body), preprocessing);
    case "bytes":
      return bytesTensor(body, preprocessing);
    case "tokens":
      return tokensTensor(body, preprocessing);
  }
}
