/** Results on disk: one file per cell, written anew with each seed that is done, so that a run may be broken off and gone on with. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { CellPlan } from "./grid.ts";
import { headline, type Headline } from "./figures.ts";
import type { SeedResult } from "./run-seed.ts";
import type { Cell } from "./setting.ts";

export const FORMAT = "dystri-sim-1";

export type CellFile = {
  format: typeof FORMAT;
  /** Of all code and data that the results depend on. */
  fingerprint: string;
  cell: Cell;
  /** What the axis changes; empty on the grid. */
  variation: string;
  requests: number;
  warmUpMs: number;
  rows: string[];
  /** In order of seeds. */
  seeds: SeedResult[];
};

/** One line of what `--json` prints. Shares are null where no bound was made. */
export type CellRow = Headline & {
  workload: string;
  users: number;
  load: number;
  deadlineMs: number;
  variation: string;
  policy: string;
  onTime: number;
  late: number;
  dropped: number;
  rejected: number;
  default: number;
  error: number;
  boundShare: number | null;
  infoShare: number | null;
  /** Per 1,000 answers on time. */
  deviceMs: number;
  edgeMs: number;
  nodeMs: number;
  uplinkBytes: number;
};

export class Results {
  readonly #folder: string;
  readonly #fingerprint: string;

  /** `folder` is made when something is written. */
  constructor(folder: string, fingerprint: string) {
    this.#folder = folder;
    this.#fingerprint = fingerprint;
  }

  /** What is there of the cell from the same code, rows and sizes; otherwise nothing. */
  read(plan: CellPlan): CellFile {
    const empty = this.#empty(plan);
    const file = this.#path(plan);
    if (!existsSync(file)) return empty;
    const found = JSON.parse(readFileSync(file, "utf8")) as CellFile;
    const same =
      found.format === FORMAT &&
      found.fingerprint === this.#fingerprint &&
      found.requests === plan.requests &&
      found.warmUpMs === plan.warmUpMs &&
      found.rows.join() === empty.rows.join();
    return same ? { ...found, seeds: found.seeds.filter(({ seed }) => seed <= plan.seeds) } : empty;
  }

  add(plan: CellPlan, result: SeedResult): CellFile {
    const file = this.read(plan);
    const seeds = [...file.seeds.filter(({ seed }) => seed !== result.seed), result].sort((a, b) => a.seed - b.seed);
    const next = { ...file, seeds };
    mkdirSync(this.#folder, { recursive: true });
    const part = `${this.#path(plan)}.part`;
    writeFileSync(part, `${JSON.stringify(next)}\n`);
    renameSync(part, this.#path(plan));
    return next;
  }

  #path({ key }: CellPlan): string {
    return path.join(this.#folder, `${key}.json`);
  }

  #empty({ cell, variation, requests, warmUpMs, rows }: CellPlan): CellFile {
    const names = rows.map(({ name, parameters }) => `${name} ${JSON.stringify(parameters)}`);
    return {
      format: FORMAT,
      fingerprint: this.#fingerprint,
      cell,
      variation: variation.name,
      requests,
      warmUpMs,
      rows: names,
      seeds: [],
    };
  }
}

/** Figures of all policies of a cell over its seeds, in the order they were run. */
export function rowsOfCell({ cell, variation, seeds }: CellFile): CellRow[] {
  const names = [...new Set(seeds.flatMap(({ policies }) => Object.keys(policies)))];
  return names.map((policy) => {
    const all = seeds.flatMap(({ policies }) => policies[policy] ?? []);
    const figures = headline(all);
    const mean = (of: (one: (typeof all)[number]) => number): number =>
      all.reduce((sum, one) => sum + of(one), 0) / all.length;
    return {
      ...cell,
      variation,
      policy,
      ...figures,
      ...figures.counts,
      boundShare: share(seeds, policy, "clairvoyant"),
      infoShare: share(seeds, policy, "information"),
      deviceMs: mean(({ deviceMs }) => deviceMs),
      edgeMs: mean(({ edgeMs }) => edgeMs),
      nodeMs: mean(({ nodeMs }) => nodeMs),
      uplinkBytes: mean(({ uplinkBytes }) => uplinkBytes),
    };
  });
}

/** Of what the bound allows, over the seeds that have one. */
function share(seeds: readonly SeedResult[], policy: string, kind: "clairvoyant" | "information"): number | null {
  let [reached, allowed] = [0, 0];
  for (const { bounds, bounded } of seeds) {
    const bound = bounds[kind];
    const own = bounded[policy];
    const score = kind === "clairvoyant" ? own?.right : own?.expected;
    if (!bound || score === undefined || score === null) continue;
    reached += score;
    allowed += bound.value;
  }
  return allowed > 0 ? reached / allowed : null;
}
