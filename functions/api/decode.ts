/** From posted image bytes to the application's input tensor. Whatever is wrong with the bytes is the client's problem: 4xx. */
import type { Application, ImagePreprocessing } from "../../protocol/application.ts";
import { DystriError, quote } from "../../protocol/errors.ts";
import type { InputTensor } from "../../protocol/tensor.ts";
import { imageTensor, type RgbaImage } from "../../runtime/image.ts";
import { readImageHeader, sniffImage, type ImageHeader } from "../../runtime/image-header.ts";
import { decodeJpeg } from "./jpeg-codec.ts";
import { decodePng } from "./png-codec.ts";

/** Media types that say nothing about the content, as clients send that were not told one. */
const UNSPECIFIC = ["", "application/octet-stream", "application/x-www-form-urlencoded"];

/**
 * The media type of a body: the Content-Type, or what the first bytes announce where there is none that says anything
 * (curl's `--data-binary` claims a form); numbers and text announce nothing, and are taken at the application's word.
 * Throws DystriError unsupported_media when the application does not take it.
 */
export function acceptedType(application: Application, contentType: string | null, body: Uint8Array): string {
  const named = (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const { accepts, preprocessing } = application.input;
  const announced = preprocessing.kind === "image" ? sniffImage(body) : (accepts[0] ?? null);
  const type = UNSPECIFIC.includes(named) ? announced : named;
  if (type !== null && accepts.includes(type)) return type;
  throw new DystriError(
    "unsupported_media",
    type === null ? "the body is of no kind that is known here" : `${application.name} does not take ${quote(type)}`,
    {
      field: "header Content-Type",
      value: quote(contentType ?? "none"),
      hint: `send one of ${application.input.accepts.join(", ")}`,
    },
  );
}

/**
 * Decodes an image and makes the tensor of it. Throws DystriError empty_body, bad_image, too_large or
 * unsupported_media; a picture that breaks the decoder does no harm to the next one.
 */
export async function decodeImage(
  application: Application,
  preprocessing: ImagePreprocessing,
  contentType: string | null,
  body: Uint8Array,
): Promise<InputTensor> {
  if (body.length === 0) {
    throw new DystriError("empty_body", "the request has no body", {
      field: "body",
      value: "0 bytes",
      hint: `send the bytes of an image: ${application.input.accepts.join(", ")}`,
    });
  }
  acceptedType(application, contentType, body);
  // The bytes decide what the file is; a PNG that was called a JPEG is decoded all the same, as browsers do.
  const header = readImageHeader(body);
  if (!application.input.accepts.includes(header.kind)) acceptedType(application, header.kind, body);
  return imageTensor(await decodePixels(header, body), preprocessing);
}

async function decodePixels(header: ImageHeader, body: Uint8Array): Promise<RgbaImage> {
  let image: RgbaImage;
  try {
    image = header.kind === "image/png" ? decodePng(picked(body, header.parts ?? [])) : await decodeJpeg(body);
  } catch (cause) {
    const kind = header.kind === "image/png" ? "PNG" : "JPEG";
    throw new DystriError(
      "bad_image",
      `the ${kind} cannot be decoded: its data is damaged`,
      {
        field: "body",
        value: `${header.width}x${header.height}, ${body.length} bytes`,
        hint: `send a ${kind} that other programs can open`,
      },
      cause,
    );
  }
  const { width, height, data } = image;
  if (width * height !== header.width * header.height || data.length !== width * height * 4) {
    throw new DystriError("bad_image", "the decoded picture is of another size than its header says", {
      field: "body",
      value: `${header.width}x${header.height} announced, ${width}x${height} decoded`,
      hint: "send a well-formed file",
    });
  }
  return image;
}

/** The ranges of `body`, joined; `body` itself where one range is all of it. */
function picked(body: Uint8Array, ranges: [number, number][]): Uint8Array {
  const length = ranges.reduce((sum, [from, to]) => sum + to - from, 0);
  if (length === body.length) return body;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const [from, to] of ranges) {
    joined.set(body.subarray(from, to), at);
    at += to - from;
  }
  return joined;
}
