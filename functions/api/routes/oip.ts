/** The Open Inference Protocol v2: server and model metadata, and inference on tensors. Metadata needs no key. */
import { Hono } from "hono";
import type { Application } from "../../../protocol/application.ts";
import { readDeadline } from "../../../protocol/deadline.ts";
import { DystriError, quote } from "../../../protocol/errors.ts";
import { MAX_BODY_BYTES, MAX_JSON_BYTES } from "../../../protocol/limits.ts";
import { authenticate } from "../auth.ts";
import { readBytes } from "../body.ts";
import {
  applicationOf,
  carriersOf,
  problemContext,
  serveContext,
  serverTiming,
  type AppContext,
  type AppEnv,
  type Catalogue,
} from "../context.ts";
import { admit } from "../front.ts";
import { oipReply } from "../oip-reply.ts";
import { readOipRequest } from "../oip-request.ts";
import { problemResponse } from "../problem.ts";
import { serve } from "../serve.ts";
import { readWishes } from "../wishes.ts";
import { readiness } from "./health.ts";

const SERVER_VERSION = "0.1.0";
/** Only what is implemented. */
const EXTENSIONS = ["binary_tensor_data", "classification", "parameters", "schedule_policy"];

export function oipRoutes(catalogue: Catalogue): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.get("/v2", (c) => c.json({ name: "dystri", version: SERVER_VERSION, extensions: EXTENSIONS }));
  app.get("/v2/models", (c) => c.json({ models: [...catalogue.keys()] }));
  for (const path of ["/v2/models/:model", "/v2/models/:model/versions/:version"]) {
    app.get(path, (c) => c.json(metadata(modelOf(catalogue, c))));
    app.get(`${path}/ready`, async (c) => {
      const { name, platform } = modelOf(catalogue, c);
      const failure = await readiness(c, [platform]);
      if (!failure) return c.json({ name, ready: true });
      return problemResponse(failure, problemContext(c), { name, ready: false });
    });
    app.post(`${path}/infer`, (c) => infer(c, catalogue));
  }
  return app;
}

/** No demand on Content-Type: the protocol's own Python client sends none. */
async function infer(c: AppContext, catalogue: Catalogue): Promise<Response> {
  const caller = await authenticate(c.env, c.req.raw);
  const application = modelOf(catalogue, c);
  const context = serveContext(c);
  const headerLength = c.req.header("inference-header-content-length") ?? null;
  const limit = headerLength === null ? MAX_JSON_BYTES : MAX_BODY_BYTES;
  const body = await context.clock.settled(readBytes(c.req.raw, limit));
  const request = readOipRequest(application, body, headerLength);
  const carriers = carriersOf(c, request.parameters);
  const deadline = readDeadline(carriers, application.deadline);
  const { wishes, explain } = readWishes(carriers, application);
  admit(context, caller.controller, deadline.deadlineMs);
  const served = await serve(context, {
    controller: caller.controller,
    secretDigest: caller.secretDigest,
    application,
    input: request.input,
    receivedAt: c.get("receivedAt"),
    deadlineMs: deadline.deadlineMs,
    wishes,
    // The probabilities of all labels are an output.
    topK: application.labels.length,
    explain,
  });
  const reply = oipReply(application, request, served, wishes.deadlinePolicy);
  return new Response(reply.body, {
    headers: {
      ...reply.headers,
      "Server-Timing": serverTiming(served.timing),
      "Dystri-Deadline-Ms": String(served.deadlineMs),
      ...(deadline.preferenceApplied === undefined ? {} : { "Preference-Applied": deadline.preferenceApplied }),
    },
  });
}

/** The application of the path, in the version of the path where it names one. */
function modelOf(catalogue: Catalogue, c: AppContext): Application {
  const application = applicationOf(catalogue, c.req.param("model") ?? "");
  const version = c.req.param("version");
  if (version === undefined || version === application.version) return application;
  throw new DystriError("unknown_application", `${application.name} is not served in version ${quote(version)}`, {
    field: "path",
    value: quote(version),
    hint: `use version ${application.version}, or leave the version out`,
  });
}

function metadata(application: Application) {
  const { name, version, title, task, labels, input, deadline, rungs } = application;
  return {
    name,
    versions: [version],
    platform: "onnxruntime_onnx",
    inputs: [{ name: input.name, datatype: input.datatype, shape: [1, ...input.shape] }],
    outputs: [
      { name: "probabilities", datatype: "FP32", shape: [1, labels.length] },
      { name: "label", datatype: "BYTES", shape: [1] },
    ],
    parameters: {
      title,
      task,
      exits: rungs.length,
      default_deadline_ms: deadline.defaultMs,
      max_deadline_ms: deadline.maxMs,
    },
  };
}
