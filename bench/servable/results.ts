/**
 * What `npm run bench:servable` leaves and the report reads: how many requests of each cell and seed could be served.
 * One file, written anew with each seed that is done, so that a run may be broken off and gone on with. Nothing is taken
 * from a file of other code: its cells may have offered other requests.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { SolverStatus } from "../bounds/solver.ts";

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

export type ServableFile = {
  format: typeof FORMAT;
  /** Of all code and data that the cells depend on: `fingerprint` of sim/grid.ts. */
  fingerprint: string;
  /** By the cell's name, which is the `key` of its plan, and seed. */
  cells: Record<string, Record<string, Served>>;
};

/** Of one cell, over the seeds that are solved. */
export type Servable = { seeds: number; requests: number; share: number; missable: boolean };

/** Of all requests, what may be missing by the solver's tolerances alone; a request is more than that in any cell. */
const ROUNDING = 1e-6;

/** What is there from the same code; otherwise a file without a cell. */
export function readServable(file: string, fingerprint: string): ServableFile {
  const empty: ServableFile = { format: FORMAT, fingerprint, cells: {} };
  if (!existsSync(file)) return empty;
  const found = JSON.parse(readFileSync(file, "utf8")) as ServableFile;
  return found.format === FORMAT && found.fingerprint === fingerprint ? found : empty;
}

/** Either the whole new file is there or the whole old one. */
export function addServed(file: string, fingerprint: string, key: string, seed: number, result: Served): void {
  const { cells, ...rest } = readServable(file, fingerprint);
  const next: ServableFile = { ...rest, cells: { ...cells, [key]: { ...cells[key], [seed]: result } } };
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.part`, `${JSON.stringify(next)}\n`);
  renameSync(`${file}.part`, file);
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
