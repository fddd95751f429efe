/** The agent's command line: what it takes, and what it says of what it does not. */
import { expect, test } from "vitest";
import { parseOptions } from "../../nodes/options.ts";

const given = (...more: string[]) => parseOptions(["--url", "http://127.0.0.1:1", "--state", "s", ...more], {});

test("an agent runs at its own pace unless it is told to rest", () => {
  expect(given()).toMatchObject({ pace: 1, threads: 1, provider: "cpu", token: null });
  expect(given("--pace", "2.5")).toMatchObject({ pace: 2.5 });
});

test.each([
  [["--pace", "0.5"], /--pace is "0.5"; it takes a number from 1 to 1000/],
  [["--pace", "slow"], /--pace is "slow"/],
  [["--pace", ""], /--pace is ""/],
  [["--threads", "1.5"], /--threads is "1.5"/],
  [["--provider", "abacus"], /--provider is "abacus"; it takes cpu/],
  [["--name", "Node 1"], /--name is "Node 1"/],
  [["--speed", "2"], /--speed/],
])("%j is refused by name", (more, message) => {
  expect(() => given(...more)).toThrow(message);
});
