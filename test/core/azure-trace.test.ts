import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { minuteInstants, readAzureTrace, type Choice } from "../../bench/simulator/azure.ts";
import { Random } from "../../bench/simulator/random.ts";
import { instants } from "../../bench/simulator/workload.ts";

const folder = mkdtempSync(path.join(tmpdir(), "azure-"));
afterAll(() => rmSync(folder, { recursive: true }));

const MINUTES = Array.from({ length: 1440 }, (_, i) => String(i + 1));
const HEAD = ["HashOwner", "HashApp", "HashFunction", "Trigger", ...MINUTES];

/** A function that is called `calls` times in its first minute and `last` times in its last. */
function line(name: string, calls: string, last = "0"): string {
  return ["owner", "app", name, "http", calls, ...MINUTES.slice(2).map(() => "0"), last].join(",");
}

function fileOf(...lines: string[]): string {
  const file = path.join(folder, "day.csv");
  writeFileSync(file, `${lines.join("\r\n")}\r\n`);
  return file;
}

const read = (file: string, count: number, choice: Choice, seed = 1): ReturnType<typeof readAzureTrace> =>
  readAzureTrace(file, count, choice, new Random(seed, "trace functions"));

test("the functions with most calls come first, those without any never", async () => {
  const file = fileOf(HEAD.join(","), line("few", "2", "1"), line("none", "0"), line("most", "9"), line("some", "4"));
  const found = await read(file, 2, "top");
  expect(found.map(({ name }) => name)).toEqual(["most", "some"]);
  const [few] = (await read(file, 9, "top")).slice(-1);
  expect(few).toMatchObject({ owner: "owner", app: "app", name: "few", trigger: "http" });
  expect(few?.perMinute).toHaveLength(1440);
  expect([few?.perMinute[0], few?.perMinute[1439]]).toEqual([2, 1]);
});

test("random functions are others with another seed, and every one may be drawn", async () => {
  const names = Array.from({ length: 10 }, (_, i) => `f${i}`);
  const file = fileOf(HEAD.join(","), ...names.map((name) => line(name, "1")));
  const drawn = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    const found = await read(file, 3, "random", seed);
    expect(new Set(found.map(({ name }) => name)).size).toBe(3);
    for (const { name } of found) drawn.add(name);
  }
  expect([...drawn].sort()).toEqual(names);
  expect(await read(file, 3, "random", 7)).toEqual(await read(file, 3, "random", 7));
});

test.each([
  ["a word for a number", [HEAD.join(","), line("f", "1"), line("g", "many")], /day\.csv, line 3, column 5: .*"many"/],
  ["a negative number", [HEAD.join(","), line("f", "1", "-3")], /line 2, column 1444: .*minute 1440.*"-3"/],
  ["a short line", [HEAD.join(","), "owner,app,f,http,1"], /line 2, column 6: 5 fields, not 1444/],
  ["another head", [HEAD.join(",").replace("Trigger", "Kind"), line("f", "1")], /line 1, column 4: .*Trigger.*"Kind"/],
  ["a shorter day", [HEAD.slice(0, -1).join(","), line("f", "1")], /line 1, column 1444: .*1440 here, not nothing/],
])("%s is refused with its place", async (_, lines, message) => {
  await expect(read(fileOf(...lines), 1, "top")).rejects.toThrow(message);
});

test("an empty file is refused, one that is not there too", async () => {
  const file = path.join(folder, "empty.csv");
  writeFileSync(file, "");
  await expect(read(file, 1, "top")).rejects.toThrow(/empty\.csv, line 1: the file is empty/);
  await expect(read(path.join(folder, "none.csv"), 1, "top")).rejects.toThrow(/ENOENT/);
});

test("the calls of a minute fall anywhere in it, times are divided by the speed-up", () => {
  const plain = minuteInstants([600, 0, 300], { speedUp: 1, scale: 1 }, new Random(1, "arrivals"), 180_000);
  expect(plain).toHaveLength(900);
  expect(plain).toEqual(plain.toSorted((a, b) => a - b));
  expect(plain.filter((atMs) => atMs < 60_000)).toHaveLength(600);
  expect(plain.filter((atMs) => atMs >= 120_000)).toHaveLength(300);
  const gaps = plain.slice(1, 600).map((atMs, i) => atMs - (plain[i] as number));
  const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length;
  const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
  // 1 for points thrown at random, 0 for evenly spaced ones.
  expect(deviation / mean).toBeGreaterThan(0.8);
  const fast = minuteInstants([600, 0, 300], { speedUp: 60, scale: 1 }, new Random(1, "arrivals"), 180_000);
  fast.forEach((atMs, i) => expect(atMs).toBeCloseTo((plain[i] as number) / 60, 9));
});

test("a call may stand for a part of a request, and nothing comes after the end", () => {
  const thin = minuteInstants([10_001], { speedUp: 1, scale: 0.1 }, new Random(1, "arrivals"), 60_000);
  expect([1000, 1001]).toContain(thin.length);
  const perMinute = Array.from({ length: 1000 }, () => 1);
  const many = minuteInstants(perMinute, { speedUp: 60, scale: 0.3 }, new Random(1, "arrivals"), 1e9);
  expect(Math.abs(many.length - 300)).toBeLessThan(60);
  const half = instants({ kind: "minutes", perMinute, speedUp: 60, scale: 1 }, new Random(1, "arrivals"), 500_000);
  expect(half).toHaveLength(500);
});
