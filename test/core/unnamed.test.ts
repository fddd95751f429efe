import { existsSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { applicationNames } from "../../scripts/models-folder.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const FOLDERS = ["functions", "durable-objects", "control", "runtime", "nodes", "protocol", "client"].filter((folder) =>
  existsSync(path.join(ROOT, folder)),
);

/** Adding an application is adding a folder, so nothing that serves may know one by name. */
test("no source that serves names an application", async () => {
  const names = await applicationNames();
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(path.join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.(ts|toml)$/.test(file) && !/(^|\/)generated\//.test(file))
      .map((file) => path.join(folder, file)),
  );
  expect(files.length).toBeGreaterThan(50);
  // As a literal or a path; the same words may stand in prose.
  const named = files.filter((file) => {
    const text = readFileSync(path.join(ROOT, file), "utf8");
    return names.some((name) => new RegExp(`["'\`/]${name}["'\`/]`).test(text));
  });
  expect(named).toEqual([]);
});
