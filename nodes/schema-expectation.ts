/**
 * What a JSON Schema asks of one field, in words: validators say which keyword failed, people want to know what to
 * write. Knows the keywords that models/app.schema.json uses.
 */
export type Schema = {
  $ref?: string;
  $defs?: Record<string, Schema>;
  description?: string;
  type?: "object" | "array" | "string" | "number" | "integer";
  const?: unknown;
  enum?: readonly unknown[];
  anyOf?: readonly Schema[];
  oneOf?: readonly Schema[];
  discriminator?: { propertyName: string };
  properties?: Record<string, Schema>;
  items?: Schema;
  minItems?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
};

/** What `root` asks of the field at `keys` in `json`; where it knows no such field, which ones it knows there. */
export function expectationAt(root: Schema, keys: readonly string[], json: unknown): string {
  let schema = resolved(root, root);
  let value = json;
  for (const key of keys) {
    const chosen = alternative(root, schema, value);
    const next = Array.isArray(value) ? chosen.items : chosen.properties?.[key];
    if (!next) return `no such field; there is ${Object.keys(chosen.properties ?? {}).join(", ")}`;
    schema = resolved(root, next);
    value = (value as Record<string, unknown> | undefined)?.[key];
  }
  const { description } = schema;
  return expectation(root, schema) + (keys.length > 0 && description ? `: ${description}` : "");
}

/** The schema a reference stands for; beside it stands what is said of this one use. */
function resolved(root: Schema, { $ref, ...own }: Schema): Schema {
  if ($ref === undefined) return own;
  const target = root.$defs?.[$ref.replace("#/$defs/", "")];
  if (!target) throw new Error(`the schema has no ${$ref}`);
  const there = resolved(root, target);
  const description = [own.description, there.description].filter((text) => text !== undefined).join("; ");
  return { ...there, ...own, ...(description && { description }) };
}

/** Of alternatives told apart by one property, the one `value` names; unless it names one, that property is all there is. */
function alternative(root: Schema, schema: Schema, value: unknown): Schema {
  const tag = schema.discriminator?.propertyName;
  if (tag === undefined) return schema;
  const branches = (schema.oneOf ?? []).map((branch) => resolved(root, branch));
  const named = (value as Record<string, unknown> | undefined)?.[tag];
  const found = branches.find((branch) => branch.properties?.[tag]?.const === named);
  return found ?? { properties: { [tag]: { enum: branches.map((branch) => branch.properties?.[tag]?.const) } } };
}

function expectation(root: Schema, schema: Schema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return `one of ${schema.enum.map((choice) => JSON.stringify(choice)).join(", ")}`;
  if (schema.anyOf) return schema.anyOf.map((choice) => expectation(root, resolved(root, choice))).join(" or ");
  switch (schema.type) {
    case "object":
      return "an object";
    case "array":
      return schema.minItems === undefined ? "an array" : `an array of at least ${schema.minItems} entries`;
    case "string":
      return "a text";
    case "integer":
      return `a whole number${range(schema)}`;
    case "number":
      return `a number${range(schema)}`;
    default:
      return "something else";
  }
}

function range({ minimum, maximum, exclusiveMinimum }: Schema): string {
  if (exclusiveMinimum !== undefined) return ` above ${exclusiveMinimum}`;
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  return minimum === undefined ? "" : `, ${minimum} or more`;
}
