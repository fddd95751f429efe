/**
 * Measures what one plan of Proteus takes and writes bench/policies/solver-times.json: `node scripts/run.mjs
 * bench/sim/solver-times.ts`. The simulator charges from that file, so that its runs do not depend on the machine.
 */
import { writeFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { type LinearProgramme, Solver, type IntegerSolution } from "../bounds/solver.ts";
import { quantile } from "../lib/statistics.ts";
import { policyNamed } from "../policies/registry.ts";
import type { PlanSolver, SolverTimes } from "../policies/proteus.ts";
import { World } from "../simulator/world.ts";
import { loadService, settingOf } from "./setting.ts";

const BUCKET = 20;

class Timed implements PlanSolver {
  readonly #solver: Solver;
  readonly samples: { columns: number; ms: number }[] = [];

  constructor(solver: Solver) {
    this.#solver = solver;
  }

  solveInteger(programme: LinearProgramme, timeLimitS: number): IntegerSolution {
    const startedAt = performance.now();
    const solution = this.#solver.solveInteger(programme, timeLimitS);
    this.samples.push({ columns: programme.columns, ms: performance.now() - startedAt });
    return solution;
  }
}

const timed = new Timed(await Solver.load());
const service = await loadService("validation");
const spec = policyNamed("proteus");
for (const users of [4, 8, 32]) {
  const { world } = settingOf(service, { workload: "mmpp2", users, load: 1, deadlineMs: 100 }, 1, 3000);
  const context = { training: service.inputs, solver: timed, solverTimes: { byColumns: [] }, mix: new Map() };
  new World(world).run(spec.make(spec.defaults, context));
}
const byColumns: SolverTimes["byColumns"] = [];
for (let most = BUCKET; timed.samples.some(({ columns }) => columns > most - BUCKET); most += BUCKET) {
  const ms = timed.samples.filter(({ columns }) => columns <= most && columns > most - BUCKET).map((one) => one.ms);
  if (ms.length > 0) byColumns.push({ columns: most, ms: Math.round(10 * quantile(ms, 0.95)) / 10 });
}
const what =
  "milliseconds that HiGHS (npm highs, WebAssembly) takes for one programme of bench/policies/proteus.ts, by its columns; 95th percentile";
writeFileSync(
  new URL("../policies/solver-times.json", import.meta.url),
  `${JSON.stringify({ what, byColumns }, null, 2)}\n`,
);
console.log(byColumns, `${timed.samples.length} programmes`);
