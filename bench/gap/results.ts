/** What `npm run bench:gap` leaves and the report reads: what each kind of knowledge is worth in a cell. */
import { addCell, readCells, type CellsFile } from "../kept/cells-file.ts";

/** See bench/kept/cells-file.ts. */
export const FORMAT = "dystri-gap-2";

/** Of `requests`, how many are answered on time, and of these answers how many are expected to be right. */
export type Reached = { onTime: number; right: number };

/** Of one cell and seed, what is reached, from most knowledge to least. */
export type Gap = {
  requests: number;
  /** The information bound: right answers only. */
  bound: number;
  /** Found for machines that neither interrupt nor batch, all arrivals known. */
  foresight: Reached;
  /** Each request placed for good as it arrives: what comes later is not known. */
  arriving: Reached;
  /** The same, and of an input only that its application's rungs are right so often. */
  unseen: Reached;
  /** Dystri, where no journey, bandwidth or computation takes longer or less long than usual, and objects are at hand. */
  steady: Reached;
  dystri: Reached;
  seconds: number;
};

export type GapFile = CellsFile<Gap>;

/** The steps from below the bound down to Dystri, in order. */
export const STEPS = ["foresight", "arriving", "unseen", "steady", "dystri"] as const;

export function readGaps(file: string, fingerprint: string): GapFile {
  return readCells(file, FORMAT, fingerprint);
}

export function addGap(file: string, fingerprint: string, key: string, seed: number, gap: Gap): void {
  addCell(file, FORMAT, fingerprint, key, seed, gap);
}
