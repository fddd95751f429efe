/**
 * Strict checks of JSON from outside: every field is named in its error, unknown fields are errors, sizes are bounded.
 * A check either returns the value with its type or throws a `FieldError`; `checked` turns that into data.
 */
import { quote } from "./errors.ts";

export class FieldError extends Error {
  override readonly name = "FieldError";
  /** Path from the root, e.g. `registration.concurrency`; empty for the root itself. */
  readonly field: string;

  constructor(field: string, message: string) {
    super(field ? `${field}: ${message}` : message);
    this.field = field;
  }
}

export type Check<T> = (value: unknown, field: string) => T;

export type Checked<T> = { ok: true; value: T } | { ok: false; field: string; message: string };

/** Runs a check without throwing. */
export function checked<T>(check: Check<T>, value: unknown, field = ""): Checked<T> {
  try {
    return { ok: true, value: check(value, field) };
  } catch (error) {
    if (error instanceof FieldError) return { ok: false, field: error.field, message: error.message };
    throw error;
  }
}

const under = (field: string, key: string | number): string =>
  typeof key === "number" ? `${field}[${key}]` : field ? `${field}.${key}` : key;

const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Finite numbers from `min` to `max`. */
export const number =
  (min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY): Check<number> =>
  (value, field) => {
    if (typeof value !== "number" || !Number.isFinite(value)) {
      throw new FieldError(field, `${quote(value)} is not a finite number`);
    }
    if (value < min || value > max) throw new FieldError(field, `${value} is not between ${min} and ${max}`);
    return value;
  };

export const integer = (min: number, max: number): Check<number> => {
  const inRange = number(min, max);
  return (value, field) => {
    const found = inRange(value, field);
    if (!Number.isInteger(found)) throw new FieldError(field, `${found} is not a whole number`);
    return found;
  };
};

export const nullable =
  <T>(item: Check<T>): Check<T | null> =>
  (value, field) =>
    value === null ? null : item(value, field);

export const boolean: Check<boolean> = (value, field) => {
  if (typeof value !== "boolean") throw new FieldError(field, `${quote(value)} is not true or false`);
  return value;
};

/** Text of at most `max` UTF-16 units, matching `pattern` where one is given. */
export const text =
  (max: number, pattern?: RegExp): Check<string> =>
  (value, field) => {
    if (typeof value !== "string") throw new FieldError(field, `${quote(value)} is not text`);
    if (value.length > max) throw new FieldError(field, `longer than ${max} characters`);
    if (pattern && !pattern.test(value))
      throw new FieldError(field, `${quote(value)} does not match ${pattern.source}`);
    return value;
  };

export const oneOf =
  <const T extends string>(...allowed: readonly T[]): Check<T> =>
  (value, field) => {
    const found = allowed.find((one) => one === value);
    if (found === undefined) throw new FieldError(field, `${quote(value)} is not one of ${allowed.join(", ")}`);
    return found;
  };

export const list =
  <T>(item: Check<T>, max: number): Check<T[]> =>
  (value, field) => {
    if (!Array.isArray(value)) throw new FieldError(field, `${quote(value)} is not a list`);
    if (value.length > max) throw new FieldError(field, `more than ${max} entries`);
    return value.map((entry: unknown, i) => item(entry, under(field, i)));
  };

/** An object used as a map. The result has no prototype surprises: read it with `Object.hasOwn`. */
export const map =
  <T>(key: RegExp, item: Check<T>, max: number): Check<Record<string, T>> =>
  (value, field) => {
    if (!isPlainObject(value)) throw new FieldError(field, `${quote(value)} is not an object`);
    const entries = Object.entries(value);
    if (entries.length > max) throw new FieldError(field, `more than ${max} entries`);
    return Object.fromEntries(
      entries.map(([name, entry]) => {
        if (!key.test(name)) throw new FieldError(field, `the key ${quote(name)} does not match ${key.source}`);
        return [name, item(entry, under(field, name))];
      }),
    );
  };

/** Exactly these fields: none missing, none unknown. */
export const object = <T extends object>(fields: { [K in keyof T]-?: Check<T[K]> }): Check<T> => {
  const names = Object.keys(fields) as (keyof T & string)[];
  return (value, field) => {
    if (!isPlainObject(value)) throw new FieldError(field, `${quote(value)} is not an object`);
    const unknown = Object.keys(value).find((name) => !Object.hasOwn(fields, name));
    if (unknown !== undefined) throw new FieldError(under(field, unknown.slice(0, 64)), "unknown field");
    const result: Partial<T> = {};
    for (const name of names) {
      if (!Object.hasOwn(value, name)) throw new FieldError(under(field, name), "missing");
      result[name] = fields[name](value[name], under(field, name));
    }
    return result as T;
  };
};
