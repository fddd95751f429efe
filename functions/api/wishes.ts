/**
 * Quality-of-service wishes of a request: the same flat names in `parameters`, in the query and, as `Dystri-*`
 * headers, on raw bodies. The first place that has a name wins, in that order.
 */
import type { Application } from "../../protocol/application.ts";
import type { Carriers } from "../../protocol/deadline.ts";
import { DystriError, quote } from "../../protocol/errors.ts";
import { MAX_TOP_K } from "../../protocol/limits.ts";
import type { Wishes } from "../../protocol/plan.ts";

const DEFAULT_TOP_K = 5;

/** Query names of the inference and plan routes. */
const KNOWN_IN_QUERY = [
  "deadline_ms",
  "deadline_policy",
  "min_accuracy",
  "min_confidence",
  "exit",
  "max_exit",
  "tier",
  "top_k",
  "priority",
  "explain",
];

type Found = { value: unknown; field: string };

/**
 * Reads what the request wishes for. Throws DystriError bad_parameter naming the field, the value and the remedy.
 * `topK` is never more than the application has labels.
 */
export function readWishes(
  from: Carriers,
  application: Application,
): { wishes: Wishes; topK: number; explain: boolean } {
  const wishes: Wishes = { deadlinePolicy: oneOf(from, "deadline_policy", ["best_effort", "strict"]) ?? "best_effort" };
  const minAccuracy = share(from, "min_accuracy");
  if (minAccuracy !== undefined) wishes.minAccuracy = minAccuracy;
  const minConfidence = share(from, "min_confidence");
  if (minConfidence !== undefined) wishes.minConfidence = minConfidence;
  const exits = application.rungs.length;
  const maxExit = count(from, "max_exit", exits) ?? count(from, "exit", exits);
  if (maxExit !== undefined) wishes.maxExit = maxExit;
  const tier = oneOf(from, "tier", ["auto", "edge", "node"]);
  if (tier !== undefined && tier !== "auto") wishes.tier = tier;
  const priority = readPriority(from);
  if (priority !== undefined) wishes.priority = priority;
  const topK = count(from, "top_k", MAX_TOP_K) ?? DEFAULT_TOP_K;
  return { wishes, topK: Math.min(topK, application.labels.length), explain: flag(from, "explain") };
}

/** By name, or by Triton's numbers: 0 is the default, 1 the highest, everything above lower. */
function readPriority(from: Carriers): Wishes["priority"] {
  const found = find(from, "priority");
  if (!found) return undefined;
  if (found.value === "low" || found.value === "normal" || found.value === "high") return found.value;
  const number = numeral(found.value);
  if (Number.isInteger(number) && number >= 0) return number === 0 ? "normal" : number === 1 ? "high" : "low";
  throw unusable(found, "send low, normal or high, or a whole number: 0 normal, 1 high, 2 and above low");
}

/** A wish that is only there or not; an empty value means yes. */
function flag(from: Carriers, name: string): boolean {
  const found = find(from, name);
  if (!found) return false;
  if ([true, "true", "1", ""].includes(found.value as string)) return true;
  if ([false, "false", "0"].includes(found.value as string)) return false;
  throw unusable(found, "send true or false");
}

/** Throws DystriError bad_parameter on a query name that means nothing here: a misspelt wish must not be lost silently. */
export function refuseUnknownQuery(query: URLSearchParams): void {
  for (const name of query.keys()) {
    if (KNOWN_IN_QUERY.includes(name)) continue;
    throw new DystriError("bad_parameter", `the query parameter ${quote(name)} is not known`, {
      field: `query ${quote(name)}`,
      value: quote(query.get(name)),
      hint: `use ${KNOWN_IN_QUERY.join(", ")}`,
    });
  }
}

function find(from: Carriers, name: string): Found | undefined {
  const parameter = from.parameters?.[name];
  if (parameter !== undefined) return { value: parameter, field: `parameters.${name}` };
  const values = from.query?.getAll(name) ?? [];
  if (values.length > 0) return { value: values.length > 1 ? values.join(", ") : values[0], field: `query ${name}` };
  const header = from.header(`dystri-${name.replaceAll("_", "-")}`);
  return header === null ? undefined : { value: header, field: `header Dystri-${titleCase(name)}` };
}

/** A share between 0 and 1. */
function share(from: Carriers, name: string): number | undefined {
  const found = find(from, name);
  if (!found) return undefined;
  const value = numeral(found.value);
  if (value >= 0 && value <= 1) return value;
  throw unusable(found, "send a number between 0 and 1, such as 0.8");
}

function count(from: Carriers, name: string, max: number): number | undefined {
  const found = find(from, name);
  if (!found) return undefined;
  const value = numeral(found.value);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw unusable(found, `send a whole number from 1 to ${max}`);
}

function oneOf<T extends string>(from: Carriers, name: string, choices: readonly T[]): T | undefined {
  const found = find(from, name);
  if (!found) return undefined;
  const choice = choices.find((candidate) => candidate === found.value);
  if (choice !== undefined) return choice;
  throw unusable(found, `send one of ${choices.join(", ")}`);
}

function numeral(value: unknown): number {
  if (typeof value === "number") return value;
  return typeof value === "string" && /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
}

function unusable(found: Found, hint: string): DystriError {
  const value = quote(found.value);
  return new DystriError("bad_parameter", `${found.field} is ${value}, which is not usable`, {
    field: found.field,
    value,
    hint,
  });
}

function titleCase(name: string): string {
  return name
    .split("_")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("-");
}
