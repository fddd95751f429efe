/** What `npm run bench:gap` leaves and the report reads: what each kind of knowledge is worth in a cell. */
import { addCell, readCells, type CellsFile } from "../kept/cells-file.ts";

/** See bench/kept/cells-file.ts. */
export const FORMAT = "dystri-gap-1";

/** Of one cell and seed: expected right answers on time to `requests` requests, from most knowledge to least. */
export type Gap = {
  requests: number;
  /** The information bound. */
  bound: number;
  /** Found for machines that neither interrupt nor batch, all arrivals known. */
  foresight: number;
  /** Each request placed for good as it arrives: what comes later is not known. */
  arriving: number;
  /** The same, and of an input only that its application's rungs are right so often. */
  unseen: number;
  /** Dystri, where no journey, bandwidth or computation takes longer or less long than usual, and objects are at hand. */
  steady: number;
  dystri: number;
  seconds: number;
};

export type GapFile = CellsFile<Gap>;

/** The steps from the bound down to Dystri, in order. */
export const STEPS = ["bound", "foresight", "arriving", "unseen", "steady", "dystri"] as const;

export function readGaps(file: string, fingerprint: string): GapFile {
  return readCells(file, FORMAT, fingerprint);
}

export function addGap(file: string, fingerprint: string, key: string, seed: number, gap: Gap): void {
  addCell(file, FORMAT, fingerprint, key, seed, gap);
}
