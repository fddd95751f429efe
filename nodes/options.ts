/** The agent's command line. */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { NODE_NAME } from "../protocol/node-credentials.ts";
import { ConfigurationError } from "./log.ts";
import { PROVIDERS, type Provider } from "./onnx.ts";

export const USAGE = `Runs a Dystri node: connects this machine to a Dystri service and computes for it.

usage: node nodes/agent.ts --url URL --state DIR [--token dne_…] [options]

  --url URL            address of the service, http(s)://…
  --state DIR          where the node keeps its key and certificate; made if it is not there
  --token dne_…        one-off enrolment token; needed at the first start only.
                       Or in the environment: DYSTRI_ENROLMENT_TOKEN, which other users of the machine cannot see
  --name NAME          refuse to run as any other node than this one
  --provider NAME      ${PROVIDERS.join(", ")}; default cpu
  --models DIR         folder of applications; default: models/ beside this program
  --applications A,B   serve these only; default: all in the folder
  --threads N          threads within one run; default 1
  --pace X             take X times as long, by resting after each run: to try out a slower machine; default 1
  --help

It logs one JSON line per event on stderr. SIGTERM or SIGINT drains: jobs in hand are finished, no new ones are taken.
Exit status: 0 drained, 1 failure, 2 wrong use or installation, 3 credentials refused, 4 replaced by another agent.`;

export type AgentOptions = {
  url: string;
  state: string;
  token: string | null;
  name: string | null;
  provider: Provider;
  models: string;
  applications: string[] | null;
  threads: number;
  /** At least 1. */
  pace: number;
};

const MOST_PACE = 1000;

/** Null when help was asked for. Throws ConfigurationError that names the option, its value and what it takes. */
export function parseOptions(argv: readonly string[], environment: NodeJS.ProcessEnv): AgentOptions | null {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        url: { type: "string" },
        state: { type: "string" },
        token: { type: "string" },
        name: { type: "string" },
        provider: { type: "string", default: "cpu" },
        models: { type: "string" },
        applications: { type: "string" },
        threads: { type: "string", default: "1" },
        pace: { type: "string", default: "1" },
        help: { type: "boolean", short: "h", default: false },
      },
    }));
  } catch (cause) {
    throw new ConfigurationError(`${cause instanceof Error ? cause.message : String(cause)} (see --help)`, { cause });
  }
  if (values.help) return null;
  const { url, state, name } = values;
  if (!url || !/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
    throw new ConfigurationError(
      `--url is ${url ? `"${url}"` : "missing"}; give the address of the service, such as http://127.0.0.1:8787`,
    );
  }
  if (!state) throw new ConfigurationError("--state is missing; give a folder where the node keeps its key");
  if (name !== undefined && !NODE_NAME.test(name)) {
    throw new ConfigurationError(`--name is "${name}"; names are lower-case letters, digits and hyphens, at most 48`);
  }
  const provider = PROVIDERS.find((one) => one === values.provider);
  if (!provider) throw new ConfigurationError(`--provider is "${values.provider}"; it takes ${PROVIDERS.join(", ")}`);
  const threads = Number(values.threads);
  if (!Number.isInteger(threads) || threads < 1 || threads > 256) {
    throw new ConfigurationError(`--threads is "${values.threads}"; it takes a whole number from 1 to 256`);
  }
  const pace = Number(values.pace);
  if (!(pace >= 1 && pace <= MOST_PACE)) {
    throw new ConfigurationError(`--pace is "${values.pace}"; it takes a number from 1 to ${MOST_PACE}`);
  }
  return {
    url,
    state,
    token: values.token ?? environment["DYSTRI_ENROLMENT_TOKEN"] ?? null,
    name: name ?? null,
    provider,
    models: values.models ?? join(import.meta.dirname, "..", "models"),
    applications: values.applications?.split(",").map((one) => one.trim()) ?? null,
    threads,
    pace,
  };
}
