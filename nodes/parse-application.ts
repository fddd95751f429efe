/**
 * Reads app.json. Nothing about an application is believed before it has passed here: its structure against
 * models/app.schema.json, then its fields against each other (runtime/application.ts). For Node only: the validator
 * compiles code, which Workers forbid. They get their applications from the build, which reads them here.
 */
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import schema from "../models/app.schema.json" with { type: "json" };
import type { Application } from "../protocol/application.ts";
import { quote } from "../protocol/errors.ts";
import { faultsOf, type Fault } from "../runtime/application.ts";
import { expectationAt, type Schema } from "./schema-expectation.ts";

/** What is wrong with an app.json, every fault of it; the message has a line for each. */
export class ApplicationError extends Error {
  override readonly name = "ApplicationError";
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    super(faults.map(sentence).join("\n"));
    this.faults = faults;
  }
}

const ajv = new Ajv2020({ allErrors: true, discriminator: true });
const isApplication = ajv.compile<Application>(schema);

/**
 * Reads a parsed app.json. Throws ApplicationError naming each wrong field, its value and what was expected. Fields
 * are held against each other only once each of them is sound.
 */
export function parseApplication(json: unknown): Application {
  if (!isApplication(json)) throw new ApplicationError(structureFaults(json, isApplication.errors ?? []));
  const faults = faultsOf(json);
  if (faults.length > 0) throw new ApplicationError(faults);
  return json;
}

function sentence({ path, value, expected }: Fault): string {
  const found = value === undefined ? "missing" : quote(JSON.stringify(value));
  return `${path === "" ? "the application" : path} is ${found}; expected ${expected}`;
}

/** One fault per field. The validator may have several errors for one, and some for the alternatives it tried. */
function structureFaults(json: unknown, errors: readonly ErrorObject[]): Fault[] {
  const faults = new Map<string, Fault>();
  for (const error of errors) {
    const keys = keysOf(error);
    const path = pathOf(json, keys);
    const value = keys.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], json);
    const expected = error.keyword === "uniqueItems" ? "no entry twice" : expectationAt(schema as Schema, keys, json);
    if (!faults.has(path)) faults.set(path, { path, value, expected });
  }
  return [...faults.values()];
}

/** Where the error is, as keys from the top: in the validator's words it is at the parent of a missing or unknown field. */
function keysOf({ instancePath, keyword, params }: ErrorObject): string[] {
  const keys = instancePath
    .split("/")
    .slice(1)
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
  const named = params as Record<string, unknown>;
  switch (keyword) {
    case "required":
      return [...keys, String(named["missingProperty"])];
    case "additionalProperties":
      return [...keys, String(named["additionalProperty"])];
    case "discriminator":
      return [...keys, String(named["tag"])];
    case "uniqueItems":
      return [...keys, String(Math.max(Number(named["i"]), Number(named["j"])))];
    default:
      return keys;
  }
}

/** The path as one would write it in JavaScript. */
function pathOf(json: unknown, keys: readonly string[]): string {
  let path = "";
  let at = json;
  for (const key of keys) {
    path += Array.isArray(at) ? `[${key}]` : path === "" ? key : `.${key}`;
    at = (at as Record<string, unknown> | undefined)?.[key];
  }
  return path;
}
