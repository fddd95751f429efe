/**
 * The Azure Functions traces of 2019 (Shahrad et al., ATC 2020; github.com/Azure/AzurePublicDataset): one CSV a day,
 * `invocations_per_function_md.anon.d*.csv`, a line per function: HashOwner, HashApp, HashFunction, Trigger, and the
 * invocations of each minute in columns 1 … 1440. The files are not part of this repository. A function becomes a user.
 */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import type { Random } from "./random.ts";

export type TracedFunction = { owner: string; app: string; name: string; trigger: string; perMinute: number[] };

/** `top`: those with most invocations, most first; `random`: any that have some. */
export type Choice = "top" | "random";

/** Something in the file is not as it should be. Lines and columns count from 1. */
export class TraceError extends Error {
  constructor(file: string, line: number, column: number | null, problem: string) {
    super(`${file}, line ${line}${column === null ? "" : `, column ${column}`}: ${problem}`);
  }
}

const NAMES = ["HashOwner", "HashApp", "HashFunction", "Trigger"];
const MINUTES_A_DAY = 1440;
const MINUTE_MS = 60_000;

/** At most `count` functions of the file, which is read line by line: a day is larger than what one wants in memory. */
export async function readAzureTrace(
  file: string,
  count: number,
  choice: Choice,
  random: Random,
): Promise<TracedFunction[]> {
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
  return chooseFunctions(functionsOf(file, lines), count, choice, random);
}

/** Throws TraceError at the first line that is not as it should be. */
export async function* functionsOf(
  file: string,
  lines: AsyncIterable<string> | Iterable<string>,
): AsyncGenerator<TracedFunction> {
  let [line, columns] = [0, 0];
  for await (const text of lines) {
    line++;
    const fields = text.replace(/^\uFEFF/, "").split(",");
    if (line === 1) columns = checkHead(file, fields);
    else if (text !== "") yield functionOf(file, line, fields, columns);
  }
  if (line === 0) throw new TraceError(file, 1, null, "the file is empty");
}

/** `random` draws without bias however many there are (reservoir sampling, Vitter 1985). */
export async function chooseFunctions(
  functions: AsyncIterable<TracedFunction>,
  count: number,
  choice: Choice,
  random: Random,
): Promise<TracedFunction[]> {
  const kept: { one: TracedFunction; total: number }[] = [];
  let seen = 0;
  for await (const one of functions) {
    const total = one.perMinute.reduce((sum, calls) => sum + calls, 0);
    if (total === 0) continue;
    seen++;
    if (choice === "top") {
      const at = kept.findIndex((other) => other.total < total);
      kept.splice(at < 0 ? kept.length : at, 0, { one, total });
      kept.length = Math.min(kept.length, count);
    } else if (kept.length < count) kept.push({ one, total });
    else {
      const at = random.below(seen);
      if (at < count) kept[at] = { one, total };
    }
  }
  return kept.map(({ one }) => one);
}

/**
 * Instants in ms, in order, before `untilMs`. The calls of a minute fall anywhere in it, each by itself: evenly spaced they
 * would be calmer than anything real. `speedUp` divides times. `scale` is how many requests a call stands for, what is
 * left of a whole one decided by chance.
 */
export function minuteInstants(
  perMinute: readonly number[],
  { speedUp, scale }: { speedUp: number; scale: number },
  random: Random,
  untilMs: number,
): number[] {
  const lengthMs = MINUTE_MS / speedUp;
  const found: number[] = [];
  perMinute.forEach((calls, minute) => {
    if (minute * lengthMs >= untilMs) return;
    const wanted = calls * scale;
    const whole = Math.floor(wanted);
    const requests = whole + (wanted > whole && random.uniform() < wanted - whole ? 1 : 0);
    for (let i = 0; i < requests; i++) found.push((minute + random.uniform()) * lengthMs);
  });
  return found.filter((atMs) => atMs < untilMs).sort((a, b) => a - b);
}

/** The number of columns. */
function checkHead(file: string, fields: readonly string[]): number {
  const columns = NAMES.length + MINUTES_A_DAY;
  for (let i = 0; i < columns; i++) {
    const expected = NAMES[i] ?? String(i - NAMES.length + 1);
    if (fields[i]?.trim() === expected) continue;
    const found = fields[i] === undefined ? "nothing" : `"${fields[i]}"`;
    throw new TraceError(file, 1, i + 1, `the head should have ${expected} here, not ${found}`);
  }
  if (fields.length > columns) throw new TraceError(file, 1, columns + 1, `the head should end after ${MINUTES_A_DAY}`);
  return columns;
}

function functionOf(file: string, line: number, fields: readonly string[], columns: number): TracedFunction {
  if (fields.length !== columns) {
    throw new TraceError(file, line, Math.min(fields.length, columns) + 1, `${fields.length} fields, not ${columns}`);
  }
  const perMinute = fields.slice(NAMES.length).map((text, minute) => {
    if (/^\d+$/.test(text.trim())) return Number(text);
    const column = NAMES.length + minute + 1;
    throw new TraceError(
      file,
      line,
      column,
      `the calls of minute ${minute + 1} should be a whole number, not "${text}"`,
    );
  });
  const [owner = "", app = "", name = "", trigger = ""] = fields;
  return { owner, app, name, trigger, perMinute };
}
