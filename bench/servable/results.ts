/** What `npm run bench:servable` leaves and the report reads: how many requests of each cell and seed could be served. */
import type { SolverStatus } from "../bounds/solver.ts";
import { addCell, readCells, type CellsFile } from "../kept/cells-file.ts";

/** The fingerprint does not cover this folder: whoever changes what is solved here changes this. */
export const FORMAT = "dystri-servable-1";

/** Of one cell and seed. */
export type Served = {
  requests: number;
  /** Upper bound of the answers on time, in requests. */
  served: number;
  seconds: number;
  status: SolverStatus;
};

export type ServableFile = CellsFile<Served>;

/** Of one cell, over the seeds that are solved. */
export type Servable = { seeds: number; requests: number; share: number; missable: boolean };

/** Of all requests, what may be missing by the solver's tolerances alone; a request is more than that in any cell. */
const ROUNDING = 1e-6;

/** What is there from the same code; otherwise a file without a cell. */
export function readServable(file: string, fingerprint: string): ServableFile {
  return readCells(file, FORMAT, fingerprint);
}

/** Either the whole new file is there or the whole old one. */
export function addServed(file: string, fingerprint: string, key: string, seed: number, result: Served): void {
  addCell(file, FORMAT, fingerprint, key, seed, result);
}

/** Null where no seed of the cell is solved. Missable: in one of the seeds not all requests could be served. */
export function servableOf({ cells }: ServableFile, key: string): Servable | null {
  const seeds = Object.values(cells[key] ?? {});
  const [first] = seeds;
  if (!first) return null;
  const sum = (of: (one: Served) => number): number => seeds.reduce((total, one) => total + of(one), 0);
  return {
    seeds: seeds.length,
    requests: first.requests,
    share: sum(({ served }) => served) / sum(({ requests }) => requests),
    missable: seeds.some(({ served, requests }) => served < requests * (1 - ROUNDING)),
  };
}

/** Percent, cut off and not rounded, so that a missable cell never reads 100.00. */
export function shareText({ share, missable }: Servable): string {
  return missable ? (Math.floor(10_000 * share) / 100).toFixed(2) : "all";
}
