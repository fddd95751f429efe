/** Receive limits, in one place: each is a local decision of the receiver and holds before anything is parsed. */

/** Posted media: a 4-megapixel PNG of noise is about this large. */
export const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** The JSON part of an Open Inference Protocol request. */
export const MAX_JSON_BYTES = 1024 * 1024;
/** Width × height read from an image's header; decoding four times as much can exhaust a 128 MB isolate. */
export const MAX_PIXELS = 4 * 1024 * 1024;
/** Of posted sound: models read about a second of it. */
export const MAX_AUDIO_SECONDS = 10;
/** Headers of node frames. */
export const MAX_FRAME_HEADER_BYTES = 8 * 1024;
/** Payloads of node frames: 4 MiB holds a 1×3×224×224 float tensor six times over. */
export const MAX_FRAME_PAYLOAD_BYTES = 4 * 1024 * 1024;
/** Deadlines outside this range are mistakes. */
export const MIN_DEADLINE_MS = 1;
export const MAX_DEADLINE_MS = 600_000;
/** Labels per answer. */
export const MAX_TOP_K = 100;
/** Jobs a gateway holds in flight for one node. */
export const MAX_IN_FLIGHT = 1024;
/** Jobs an inference isolate holds. */
export const MAX_EDGE_JOBS = 512;
