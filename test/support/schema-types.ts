/** JSON Schema as TypeScript, for the test that holds a schema and a type together. */
import type { Schema } from "../../nodes/schema-expectation.ts";

type Typed = Schema & { required?: readonly string[]; additionalProperties?: boolean };

/** The type of values that hold to `schema`; references are followed, ranges and patterns left aside. */
export function typeText(root: Schema, schema: Typed = root): string {
  if (schema.$ref !== undefined) return typeText(root, root.$defs?.[schema.$ref.replace("#/$defs/", "")]);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return union(schema.enum.map((choice) => JSON.stringify(choice)));
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return union(choices.map((choice) => typeText(root, choice)));
  switch (schema.type) {
    case "string":
      return "string";
    case "number":
    case "integer":
      return "number";
    case "array":
      if (!schema.items) throw new Error("an array of anything");
      return `(${typeText(root, schema.items)})[]`;
    case "object": {
      if (schema.additionalProperties !== false) throw new Error("an object that may hold anything");
      const fields = Object.entries(schema.properties ?? {}).map(([name, field]) => {
        const mark = schema.required?.includes(name) ? "" : "?";
        return `${JSON.stringify(name)}${mark}: ${typeText(root, field)}`;
      });
      return `{ ${fields.join("; ")} }`;
    }
    default:
      throw new Error(`no type for ${JSON.stringify(schema)}`);
  }
}

const union = (types: readonly string[]): string => types.map((type) => `(${type})`).join(" | ");
