/** What is bundled into the inference Worker of one platform; `scripts/generate.ts` writes one such value per platform. */
import type { Application } from "../../protocol/application.ts";

export type BundledApplication = {
  application: Application;
  /** The ONNX file of each rung; null where the rung does not run at the edge. */
  stages: readonly (ArrayBuffer | null)[];
};

export type PlatformBundle = { platform: string; applications: readonly BundledApplication[] };
