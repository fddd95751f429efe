/**
 * JSON text that remembers what it says. Plans, questions and reports cross RPC as one string: cloning nested objects
 * costs several times what writing and reading JSON does, and a plan is asked for with every request.
 */
declare const says: unique symbol;

export type JsonText<T> = string & { readonly [says]: T };

export function toJsonText<T>(value: T): JsonText<T> {
  return JSON.stringify(value) as JsonText<T>;
}

export function fromJsonText<T>(text: JsonText<T>): T {
  return JSON.parse(text) as T;
}
