/**
 * In front of every npm script, because the machine's own Node.js may be as old as 20:
 * `node scripts/run.mjs <script> [arguments]` installs the packages if needed and runs the script on the Node.js that
 * comes with them.
 *
 * package.json says `exec … || …` where Ctrl-C must reach the script: some shells (dash) that npm runs scripts with keep
 * a SIGINT to themselves, so the script takes the shell's place. Windows has no `exec` and goes on after `||`.
 */
import { installAndRun } from "./install.mjs";

const [script, ...args] = process.argv.slice(2);
if (script === undefined) {
  console.error("usage: node scripts/run.mjs <script> [arguments]");
  process.exitCode = 1;
} else {
  installAndRun(script, args);
}
