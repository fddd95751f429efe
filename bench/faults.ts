/**
 * `npm run bench:faults`: what one fault costs. 200 users of three applications, an edge and 4 nodes in the simulator
 * (bench/simulator), with the real control code. Each fault strikes a world that runs smoothly; the same world without the
 * fault is its measure, request by request, so that what chance does to both falls out.
 *
 * Printed per fault: misses in the 30 s after it, with and without; the accuracy lost in the worst second; the time until
 * every second from then on has right answers on time to within 1 % of the calm world's; requests never answered and
 * answered twice. Exit code 1 where a bound is broken.
 */
import {
  DEADLINE_MS,
  deficitsPerS,
  FAULTS,
  inWindow,
  MIX,
  NODES,
  runFaults,
  UNTIL_MS,
  USERS,
  workload,
} from "./scenes/faults.ts";
import type { Records } from "./simulator/records.ts";
import { table } from "./simulator/table.ts";

/** Of the requests in the window. */
const MOST_MISSED = 0.01;
/** Beyond the time the fault itself lasts. */
const MOST_RECOVERY_MS = 5000;
/** Seconds this close to the calm world's are as good as its own. */
const RECOVERED = 0.01;

const calm = runFaults([]);
const usual = calm.summary(inWindow);
console.log(
  `${USERS} users of ${[...new Set(MIX)].join(", ")}; ${NODES} nodes; ${((1000 * workload.requests.length) / UNTIL_MS).toFixed(0)} ` +
    `requests/s, ${DEADLINE_MS} ms; calm: ${percent(usual.effectiveAccuracy)} right on time, ` +
    `${percent(usual.nodeShare)} of answers from nodes, ${misses(calm)} missed in 30 s`,
);
let failed = calm.lost > 0 || calm.duplicates > 0;
const rows = FAULTS.map(({ name, fault }) => {
  const records = runFaults([fault]);
  const missed = misses(records);
  const lastsMs = "forMs" in fault ? fault.forMs : 0;
  const deficits = deficitsPerS(calm, records);
  const recoveryMs = 1000 * (deficits.findLastIndex((deficit) => deficit > RECOVERED) + 1);
  const broken =
    records.lost > 0 ||
    records.duplicates > 0 ||
    missed > misses(calm) + MOST_MISSED * usual.offered ||
    recoveryMs > lastsMs + MOST_RECOVERY_MS;
  failed ||= broken;
  return [
    name,
    `${missed}`,
    percent(missed / usual.offered),
    percent(Math.max(0, ...deficits)),
    `${recoveryMs / 1000} s`,
    `${records.lost}`,
    `${records.duplicates}`,
    broken ? "BROKEN" : "held",
  ];
});
console.log(
  table(["fault", "missed in 30 s", "of offered", "worst second", "recovered after", "lost", "twice", "bounds"], rows),
);
console.log(
  `bounds: none lost, none twice, at most ${percent(MOST_MISSED)} more missed in 30 s, ` +
    `recovered to within ${percent(RECOVERED)} after ${MOST_RECOVERY_MS / 1000} s from the fault's end: ${failed ? "MISSED" : "held"}`,
);
process.exitCode = failed ? 1 : 0;

function misses(records: Records): number {
  const { offered, counts } = records.summary(inWindow);
  return offered - counts.onTime;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
