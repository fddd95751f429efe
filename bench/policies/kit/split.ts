/** Ways to share one network between a device and a machine of the service, with their expected times. */
import { chain, chainReferenceMs, rungAt, type From } from "../../../control/ladder.ts";
import { linkMeanMs, linkUpperMs } from "../../../control/latency.ts";
import type { Application } from "../../../protocol/application.ts";
import type { Known, Task } from "./serving.ts";

/** Stages of a ladder that a device runs first, with `bytes` then to be sent; `ends`: nothing is left to be run. */
type Part = { way: number[]; from: From; bytes: number; referenceMs: number; ends: boolean };

/** Of applications, by rung: what a device that computes could run first. */
const PARTS = new WeakMap<Application, Part[][]>();

/**
 * The device runs `way`, then `known` goes on from there to `rung`; null: the device ends it. `serverMs`: expected of the
 * machine alone.
 */
export type Split = {
  way: number[];
  from: From;
  known: Known | null;
  rung: number;
  meanMs: number;
  upperMs: number;
  serverMs: number;
};

/** Every split that answers with `rung`. `waitMs`: until a machine would begin. Neither uses more than the estimates at hand. */
export function splitsOf(
  { request, side, dueAt }: Task,
  machines: readonly Known[],
  rung: number,
  waitMs: (known: Known) => number,
): Split[] {
  const { application } = request.user;
  const { device, estimate } = side;
  const found: Split[] = [];
  for (const { way, from, bytes, referenceMs, ends } of partsOf(application, rung)) {
    if (!device && way.length > 0) break;
    const homeMs = device && way.length > 0 ? device.aheadMs(dueAt) + device.slowdown * referenceMs : 0;
    const tailMs = homeMs * (device?.tail ?? 1);
    if (ends) {
      found.push({ way, from, known: null, rung, meanMs: homeMs, upperMs: tailMs, serverMs: 0 });
      continue;
    }
    const sentMs = homeMs + linkMeanMs(estimate, bytes);
    const sentUpperMs = tailMs + linkUpperMs(estimate, bytes);
    for (const known of machines) {
      const { server, link } = known;
      const work = server.work(application, rung, from);
      if (!work) continue;
      const inside = server.node < 0 ? 0 : bytes;
      const queuedMs = waitMs(known);
      const serverMs = server.meanMs(work, 1);
      const meanMs = sentMs + linkMeanMs(link, inside) + queuedMs + serverMs;
      const upperMs = sentUpperMs + linkUpperMs(link, inside) + queuedMs + server.upperMs(work, 1);
      found.push({ way, from, known, rung, meanMs, upperMs, serverMs });
    }
  }
  return found;
}

/** Shortest first: nothing on the device, then as many stages of the way to `rung` as devices run and something resumes from. */
function partsOf(application: Application, rung: number): Part[] {
  const known = PARTS.get(application) ?? [];
  PARTS.set(application, known);
  return (known[rung] ??= cutUp(application, chain(application, rung, "input") ?? []));
}

function cutUp(application: Application, whole: readonly number[]): Part[] {
  const unable = whole.findIndex((stage) => !rungAt(application, stage).tiers.includes("device"));
  const most = unable < 0 ? whole.length : unable;
  return Array.from({ length: most + 1 }, (_, stages) => stages).flatMap((stages): Part[] => {
    const way = whole.slice(0, stages);
    const from = way.at(-1) ?? "input";
    const ends = stages === whole.length;
    const cut = from === "input" ? undefined : rungAt(application, from).cut;
    if (!ends && from !== "input" && !cut) return [];
    const bytes = cut ? cut.bytes.u8 : application.input.bytes;
    return [{ way, from, bytes, referenceMs: chainReferenceMs(application, way, "edge"), ends }];
  });
}
