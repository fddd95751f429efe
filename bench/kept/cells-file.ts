/**
 * What a command finds out of cells and seeds, in one file that is written anew with each seed that is done: a run may be
 * broken off and gone on with. Nothing is taken from a file of other code: its cells may have offered other requests.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

export type CellsFile<T> = {
  /** Fingerprints do not cover the folder of the command: whoever changes what is found out there changes this. */
  format: string;
  /** Of all code and data that the cells depend on: `fingerprint` of sim/grid.ts. */
  fingerprint: string;
  /** By the cell's name, which is the `key` of its plan, and seed. */
  cells: Record<string, Record<string, T>>;
};

/** What is there of the same format and code; otherwise a file without a cell. */
export function readCells<T>(file: string, format: string, fingerprint: string): CellsFile<T> {
  const empty: CellsFile<T> = { format, fingerprint, cells: {} };
  if (!existsSync(file)) return empty;
  const found = JSON.parse(readFileSync(file, "utf8")) as CellsFile<T>;
  return found.format === format && found.fingerprint === fingerprint ? found : empty;
}

/** Either the whole new file is there or the whole old one. */
export function addCell<T>(
  file: string,
  format: string,
  fingerprint: string,
  key: string,
  seed: number,
  result: T,
): void {
  const { cells, ...rest } = readCells<T>(file, format, fingerprint);
  const next: CellsFile<T> = { ...rest, cells: { ...cells, [key]: { ...cells[key], [seed]: result } } };
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.part`, `${JSON.stringify(next)}\n`);
  renameSync(`${file}.part`, file);
}
