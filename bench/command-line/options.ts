/**
 * How the commands of bench/ read their options, and what they say of a mistake in them. Not in lib/, which counts as code
 * of the simulation: a word changed here would make its results those of other code.
 */
import { parseArgs, type ParseArgsConfig } from "node:util";

/** A mistake of whoever called. */
export class UsageError extends Error {}

type Declared = NonNullable<ParseArgsConfig["options"]>;
type Values<T extends Declared> = ReturnType<typeof parseArgs<{ args: string[]; options: T }>>["values"];

/** Runs a command. A UsageError ends it with a line under the command's name and exit code 2, without a stack. */
export async function runCommand(name: string, main: (args: string[]) => Promise<void>): Promise<void> {
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${name}: ${error.message}`);
    process.exitCode = 2;
  }
}

/** The values of these options. Throws UsageError that names what is not one of them or has no value. */
export function readValues<T extends Declared>(args: string[], options: T): Values<T> {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** A whole number in this range. Throws UsageError that names the argument and what it takes. */
export function wholeNumber(argument: string, text: string, least = 1, most = Number.POSITIVE_INFINITY): number {
  // Number() makes 0 of nothing.
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.POSITIVE_INFINITY ? `from ${least} on` : `from ${least} to ${most}`;
  throw new UsageError(`${argument} takes a whole number ${range}, not ${text || "nothing"}`);
}

/** The cells whose key has this part. Throws UsageError with all keys where there is none. */
export function cellsWith<T extends { key: string }>(cells: readonly T[], part: string): T[] {
  const found = cells.filter(({ key }) => key.includes(part));
  if (found.length > 0) return found;
  throw new UsageError(`no cell has ${part} in its name; there are ${cells.map(({ key }) => key).join(", ")}`);
}
