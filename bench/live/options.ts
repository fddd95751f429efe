/** The command line of bench:live. */
import { readValues, UsageError, wholeNumber } from "../command-line/options.ts";
import { LIVE_POLICIES, type LivePolicy } from "./policies.ts";
import { SHAPES, type Shape } from "./trace.ts";

export type Options = {
  /** For everything: starting, measuring, offering, simulating. */
  seconds: number;
  json: boolean;
  policies: readonly LivePolicy[];
  shapes: readonly Shape[];
  /** Fractions of what the machine answers with the deepest rung on nodes. */
  loads: readonly number[];
  /** Requests per second that load 1 is; null for what is measured at the start. */
  ratePerS: number | null;
  deadlineMs: number;
  users: number;
  nodes: number;
  /** How many times as long as this machine needs its nodes take. */
  pace: number;
  seed: number;
};

const DEFAULTS = { seconds: "90", loads: "0.5,1,2.5", deadline: "100", users: "7", nodes: "2", pace: "4", seed: "1" };
/** Loads stay bounded: this is one machine, and nobody else's. */
const MOST = { seconds: 600, load: 3, deadlineMs: 1000, users: 64, nodes: 4, ratePerS: 1000, pace: 100, seed: 2 ** 31 };
/** Below this nothing but the start would be measured. */
const LEAST_SECONDS = 40;

/** Throws UsageError, saying which argument is wrong and what it may be. */
export function readOptions(args: string[]): Options {
  const text = { type: "string" } as const;
  const values = readValues(args, {
    json: { type: "boolean", default: false },
    policies: text,
    workloads: text,
    seconds: { ...text, default: DEFAULTS.seconds },
    loads: { ...text, default: DEFAULTS.loads },
    rate: text,
    deadline: { ...text, default: DEFAULTS.deadline },
    users: { ...text, default: DEFAULTS.users },
    nodes: { ...text, default: DEFAULTS.nodes },
    pace: { ...text, default: DEFAULTS.pace },
    seed: { ...text, default: DEFAULTS.seed },
  });
  return {
    json: values.json,
    seconds: wholeNumber("--seconds", values.seconds, LEAST_SECONDS, MOST.seconds),
    policies: named("--policies", values.policies, LIVE_POLICIES, ({ name }) => name),
    shapes: named("--workloads", values.workloads, SHAPES, (name) => name),
    loads: values.loads.split(",").map((one) => load(one)),
    ratePerS: values.rate === undefined ? null : wholeNumber("--rate", values.rate, 1, MOST.ratePerS),
    deadlineMs: wholeNumber("--deadline", values.deadline, 1, MOST.deadlineMs),
    users: wholeNumber("--users", values.users, 1, MOST.users),
    nodes: wholeNumber("--nodes", values.nodes, 1, MOST.nodes),
    pace: wholeNumber("--pace", values.pace, 1, MOST.pace),
    seed: wholeNumber("--seed", values.seed, 0, MOST.seed),
  };
}

function named<T>(
  argument: string,
  text: string | undefined,
  all: readonly T[],
  nameOf: (one: T) => string,
): readonly T[] {
  if (text === undefined) return all;
  return text.split(",").map((name) => {
    const found = all.find((one) => nameOf(one) === name);
    if (!found) throw new UsageError(`${argument} takes ${all.map(nameOf).join(", ")}, with commas; not ${name}`);
    return found;
  });
}

function load(text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (value > 0 && value <= MOST.load) return value;
  throw new UsageError(`--loads takes numbers above 0 and up to ${MOST.load}, with commas; not ${text || "nothing"}`);
}
