/** What a figure was measured on: printed with every figure, because it means little without. */
import { readFileSync } from "node:fs";
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os";
import path from "node:path";
import { ROOT } from "../../scripts/workers.ts";

export function describeMachine(): string {
  const all = cpus();
  const workerd = JSON.parse(readFileSync(path.join(ROOT, "node_modules/workerd/package.json"), "utf8")) as {
    version: string;
  };
  return [
    `${all[0]?.model.trim() ?? "unknown CPU"}, ${all.length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${platform()} ${release()} ${arch()}, Node ${process.versions.node}, workerd ${workerd.version}`,
    `load average at the start ${loadavg()[0]?.toFixed(2)}: figures mean something on an idle machine only`,
  ].join("\n");
}
