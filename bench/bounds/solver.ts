/** HiGHS (https://highs.dev), compiled to WebAssembly, behind the few calls a bound needs. */
import loadHighs, { type Highs, type Model, type ModelData } from "highs";

/** A maximisation over x ≥ 0 with rows A·x ≤ limit, filled row by row. */
export class LinearProgramme {
  readonly #worth: number[] = [];
  readonly #upper: number[] = [];
  readonly #whole: number[] = [];
  readonly #limits: number[] = [];
  readonly #starts: number[] = [0];
  readonly #columns: number[] = [];
  readonly #coefficients: number[] = [];

  get columns(): number {
    return this.#worth.length;
  }

  get rows(): number {
    return this.#limits.length;
  }

  /** Returns the number of the new column. `whole`: an integer. */
  addColumn(worth: number, upper = Infinity, whole = false): number {
    this.#worth.push(worth);
    this.#upper.push(upper);
    this.#whole.push(whole ? 1 : 0);
    return this.#worth.length - 1;
  }

  /** Returns the number of the new row. No column may come twice. */
  addRow(limit: number, entries: Iterable<readonly [column: number, coefficient: number]>): number {
    for (const [column, coefficient] of entries) {
      this.#columns.push(column);
      this.#coefficients.push(coefficient);
    }
    this.#starts.push(this.#columns.length);
    this.#limits.push(limit);
    return this.#limits.length - 1;
  }

  /** As the solver takes it. */
  data({ constants }: Highs, integral: boolean): ModelData {
    const numCols = this.columns;
    const numRows = this.rows;
    return {
      numCols,
      numRows,
      sense: constants.objectiveSense.minimize,
      colCost: Float64Array.from(this.#worth, (worth) => -worth),
      colLower: new Float64Array(numCols),
      colUpper: Float64Array.from(this.#upper),
      rowLower: new Float64Array(numRows).fill(-Infinity),
      rowUpper: Float64Array.from(this.#limits),
      matrix: {
        format: "csr",
        numRows,
        numCols,
        starts: Int32Array.from(this.#starts),
        indices: Int32Array.from(this.#columns),
        values: Float64Array.from(this.#coefficients),
      },
      ...(integral ? { integrality: Int32Array.from(this.#whole) } : {}),
    };
  }
}

export type SolverStatus = "optimal" | "time limit" | "not solved";

export type LinearSolution = {
  status: SolverStatus;
  /** As the solver reports it, within its tolerances. */
  objective: number;
  /** Price of a unit of each row's limit, ≥ 0. */
  prices: Float64Array;
  /** Of the columns. */
  values: Float64Array;
};

export type IntegerSolution = {
  status: SolverStatus;
  /** Worth of the best solution found. */
  objective: number;
  /** No solution is worth more, as far as the solver's tolerances go. */
  bound: number;
  values: Float64Array;
};

export class Solver {
  readonly #highs: Highs;
  /** Of all integer programmes, one after the other: making a model takes longer than solving what a planner asks. */
  readonly #integer: Model;

  private constructor(highs: Highs) {
    this.#highs = highs;
    this.#integer = highs.createModel();
  }

  static async load(): Promise<Solver> {
    return new Solver(await loadHighs());
  }

  /** Blocks the thread, for about `timeLimitS` at most. */
  solveLinear(programme: LinearProgramme, method: "simplex" | "ipm", timeLimitS: number): LinearSolution {
    const model = this.#highs.createModel(programme.data(this.#highs, false));
    try {
      model.options.set({
        output_flag: false,
        solver: method,
        // Prices near the optimum are as good as a vertex's: the bound is computed from them and not from the vertex.
        run_crossover: "off",
        time_limit: timeLimitS,
      });
      const { modelStatus } = model.run();
      const { rowDual, colValue } = model.getSolution();
      return {
        status: this.#statusOf(modelStatus),
        objective: -model.getObjectiveValue(),
        prices: rowDual.map((dual) => (Number.isFinite(dual) ? Math.max(0, -dual) : 0)),
        values: colValue,
      };
    } finally {
      model.dispose();
    }
  }

  /** Blocks the thread, for about `timeLimitS` at most. Stops within a relative gap of 1e-6. */
  solveInteger(programme: LinearProgramme, timeLimitS: number): IntegerSolution {
    const model = this.#integer;
    model.options.set({ output_flag: false, time_limit: timeLimitS, mip_rel_gap: 1e-6 });
    model.passModel(programme.data(this.#highs, true));
    // The limit is on all runs since then.
    model.zeroAllClocks();
    const { modelStatus } = model.run();
    return {
      status: this.#statusOf(modelStatus),
      objective: -model.getObjectiveValue(),
      bound: -Number(model.info.get("mip_dual_bound")),
      values: model.getSolution().colValue,
    };
  }

  #statusOf(code: number): SolverStatus {
    const { optimal, timeLimit } = this.#highs.constants.modelStatus;
    if (code === optimal) return "optimal";
    return code === timeLimit ? "time limit" : "not solved";
  }
}
