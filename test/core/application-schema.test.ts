import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import schema from "../../models/app.schema.json" with { type: "json" };
import type { Schema } from "../../nodes/schema-expectation.ts";
import { MAX_DEADLINE_MS, MIN_DEADLINE_MS } from "../../protocol/limits.ts";
import { ROOT } from "../../scripts/workers.ts";
import { typeText } from "../support/schema-types.ts";

/** What the compiler says of the schema's type, held against Application in both directions and as one and the same. */
function compare(of: Schema): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "dystri-types-"));
  try {
    const text = `import type { Application } from ${JSON.stringify(path.join(ROOT, "protocol/application.ts"))};
type Described = ${typeText(of)};
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
export const described = (application: Application): Described => application;
export const typed = (application: Described): Application => application;
export const same: Same<Application, Described> = true;
`;
    writeFileSync(path.join(folder, "same.ts"), text);
    const config = {
      extends: path.join(ROOT, "tsconfig.base.json"),
      compilerOptions: { types: [] },
      files: ["same.ts"],
    };
    writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify(config));
    const tsc = path.join(ROOT, "node_modules/typescript/bin/tsc");
    return spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" }).stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The schema with the field of a definition changed; undefined removes it. */
function changed(definition: string, field: string, to: Schema | undefined): Schema {
  const copy = structuredClone(schema) as Schema;
  const properties = copy.$defs?.[definition]?.properties ?? {};
  if (to) properties[field] = to;
  else delete properties[field];
  return copy;
}

test("the schema and the type Application say the same", () => {
  expect(compare(schema as Schema)).toBe("");
});

test.each<[string, Schema, string]>([
  ["a missing field", changed("rung", "temperature", undefined), "temperature"],
  ["a field too many, be it optional", changed("rung", "colour", { type: "string" }), "'true' is not assignable"],
  ["another type", changed("cut", "shape", { type: "string" }), "shape"],
  ["a choice too many", changed("image", "channels", { enum: [1, 3, 4] }), "4"],
])("the comparison sees %s", (_, other, named) => {
  expect(compare(other)).toContain(named);
});

test("deadlines in the schema are those the API takes", () => {
  expect(schema.$defs.deadlineMs).toEqual({ type: "number", minimum: MIN_DEADLINE_MS, maximum: MAX_DEADLINE_MS });
});

test("every field is described", () => {
  const bare: string[] = [];
  const described = ({ $ref, description }: Schema): boolean =>
    description !== undefined ||
    ($ref !== undefined && described((schema.$defs as Record<string, Schema>)[$ref.slice(8)] ?? {}));
  const visit = (at: string, { properties = {}, items }: Schema): void => {
    if (items) visit(`${at}[]`, items);
    for (const [name, field] of Object.entries(properties)) {
      if (field.const === undefined && !described(field)) bare.push(`${at}.${name}`);
      visit(`${at}.${name}`, field);
    }
  };
  visit("", schema as Schema);
  for (const [name, definition] of Object.entries(schema.$defs)) visit(name, definition as Schema);
  expect(bare).toEqual([]);
});
