/**
 * `npm run bench:bounds`: how tight and how dear the bounds are, on made-up problems of users' devices, an edge and
 * nodes: first small ones, where whole options can be solved for, then one of the size the evaluation uses. Then how
 * well the expectations of the information bound are calibrated, on the recorded answers of the committed ladders.
 * Seconds are processor time of all of it, from problem to certificate. Exit code 1 when a bound is below what it bounds.
 */
import { loadApplications } from "../simulator/scenario.ts";
import { replayInputs } from "../simulator/replay-inputs.ts";
import { CELL_MS, fractionalBound, type FractionalOptions, WINDOW_CELLS } from "./fractional.ts";
import { calibration, Expectation } from "./information.ts";
import { integerBound } from "./integer.ts";
import { randomProblem, type RandomWorld } from "./random-problem.ts";
import { Solver } from "./solver.ts";

const KINDS = ["right", "expected"] as const;
/** What two optima of one programme may differ by. */
const CLOSE = 1e-4;

const solver = await Solver.load();
const sound = [tightness(), cost()];
await expectations();
if (sound.includes(false)) {
  console.error("\nA bound is below what it bounds.");
  process.exitCode = 1;
}

/** Whether LP ≥ MILP ≥ any choice found, and a coarser grid ≥ a finer one. */
function tightness(): boolean {
  const fineMs = 5;
  console.log(
    `Small problems: 150 requests of 8 users, 1 node at 20 × its capacity at the full model, deadline 100 ms.`,
  );
  console.log(`Values: right answers, or their expectation. MILP on the grid of LP, stopped after 20 s.\n`);
  line("seed", "values", `LP ${CELL_MS} ms`, `LP ${fineMs} ms`, "MILP best", "MILP bound", "LP/best", "LP s", "MILP s");
  let holds = true;
  for (const seed of [1, 2, 3]) {
    for (const kind of KINDS) {
      const problem = randomProblem({ seed, requests: 150, users: 8, nodes: 1, load: 20, deadlineMs: 100 }, kind);
      const [grid, gridS] = timed(() => fractionalBound(solver, problem));
      const fine = fractionalBound(solver, problem, { cellMs: fineMs });
      const [whole, wholeS] = timed(() => integerBound(solver, problem, { timeLimitS: 20 }));
      holds &&= grid.value >= fine.value - CLOSE && grid.value >= whole.objective - CLOSE;
      const figures = [grid.value, fine.value, whole.objective, whole.value].map((value) => value.toFixed(3));
      line(seed, kind, ...figures, percent(grid.value / whole.objective), gridS, wholeS);
    }
  }
  return holds;
}

/** Whether fewer windows give no lower bound. */
function cost(): boolean {
  const world: RandomWorld = { seed: 1, requests: 2000, users: 32, nodes: 2, load: 20, deadlineMs: 100 };
  console.log("\n2,000 requests of 32 users, 2 nodes at 20 × their capacity at the full model, deadline 100 ms.\n");
  line("values", "form", "grid ms", "bound", "of requests", "rows", "columns", "s", "status");
  const forms: FractionalOptions[] = [
    { cellMs: CELL_MS },
    { cellMs: CELL_MS, capacity: { form: "windows", lengthsMs: WINDOW_CELLS.map((cells) => cells * CELL_MS) } },
    { cellMs: 10 },
  ];
  let holds = true;
  for (const kind of KINDS) {
    const problem = randomProblem(world, kind);
    const bounds = forms.map((options) => {
      const [bound, seconds] = timed(() => fractionalBound(solver, problem, options));
      const { value, rows, columns, status } = bound;
      const form = options.capacity?.form ?? "cells";
      line(
        kind,
        form,
        options.cellMs ?? "",
        value.toFixed(2),
        percent(value / world.requests),
        rows,
        columns,
        seconds,
        status,
      );
      return value;
    });
    const [cells, windows, finer] = bounds as [number, number, number];
    holds &&= windows >= cells - CLOSE && cells >= finer - CLOSE;
  }
  return holds;
}

/** Fitted on the validation split, judged on the test split. */
async function expectations(): Promise<void> {
  console.log(
    "\nExpectations of right answers given all confidences, on the test split. `error`: over tenths of the inputs.\n",
  );
  line("application", "rung", "expected", "observed", "error", "log loss");
  for (const application of loadApplications()) {
    const [validation, held] = [await replayInputs(application, "validation"), await replayInputs(application, "test")];
    const expectation = new Expectation(
      validation,
      application.rungs.map(({ evidence }) => evidence.length),
    );
    for (const [rung, { name }] of application.rungs.entries()) {
      const { expected, observed, error, logLoss } = calibration(expectation, held, rung);
      line(application.name, name, ...[expected, observed, error, logLoss].map((figure) => figure.toFixed(4)));
    }
  }
}

function timed<T>(work: () => T): [result: T, seconds: string] {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return [result, ((user + system) / 1e6).toFixed(1)];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function line(...cells: (string | number)[]): void {
  console.log(cells.map((cell) => String(cell).padStart(12)).join(""));
}
