/** Ways to share one network between a device and a machine of the service, with their expected times. */
import { chain, chainReferenceMs, rungAt, type From } from "../../../control/ladder.ts";
import { linkMeanMs, linkUpperMs } from "../../../control/latency.ts";
import type { Known, Task } from "./serving.ts";

/** The device runs `way`, then `known` goes on from there to `rung`; null: the device ends it. */
export type Split = { way: number[]; from: From; known: Known | null; rung: number; meanMs: number; upperMs: number };

/** Every split that answers with `rung`. `waitMs`: until a machine would begin. Neither uses more than the estimates at hand. */
export function splitsOf(
  { request, side, dueAt }: Task,
  machines: readonly Known[],
  rung: number,
  waitMs: (known: Known) => number,
): Split[] {
  const { application } = request.user;
  const { device, estimate } = side;
  const whole = chain(application, rung, "input") ?? [];
  const found: Split[] = [];
  const able = device ? whole.findIndex((stage) => !rungAt(application, stage).tiers.includes("device")) : 0;
  const most = able < 0 ? whole.length : able;
  for (let stages = 0; stages <= most; stages++) {
    const way = whole.slice(0, stages);
    const homeMs =
      device && stages > 0 ? device.aheadMs(dueAt) + device.slowdown * chainReferenceMs(application, way, "edge") : 0;
    const tailMs = homeMs * (device?.tail ?? 1);
    const from = way.at(-1) ?? "input";
    if (stages === whole.length) {
      found.push({ way, from, known: null, rung, meanMs: homeMs, upperMs: tailMs });
      continue;
    }
    const cut = from === "input" ? undefined : rungAt(application, from).cut;
    if (from !== "input" && !cut) continue;
    const bytes = cut ? cut.bytes.u8 : application.input.bytes;
    for (const known of machines) {
      const work = known.server.work(application, rung, from);
      if (!work) continue;
      const inside = known.server.node < 0 ? 0 : bytes;
      const queuedMs = waitMs(known);
      found.push({
        way,
        from,
        known,
        rung,
        meanMs:
          homeMs +
          linkMeanMs(estimate, bytes) +
          linkMeanMs(known.link, inside) +
          queuedMs +
          known.server.meanMs(work, 1),
        upperMs:
          tailMs +
          linkUpperMs(estimate, bytes) +
          linkUpperMs(known.link, inside) +
          queuedMs +
          known.server.upperMs(work, 1),
      });
    }
  }
  return found;
}
