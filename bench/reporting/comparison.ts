/** Every policy of a cell against Dystri, paired by seed; and over many cells. */
import { DYSTRI } from "../policies/registry.ts";
import { rowsOfCell, type CellFile, type CellRow } from "../sim/results.ts";
import { Random } from "../simulator/random.ts";
import { bootstrap, mean, paired, type Interval } from "./paired.ts";

export type Kind = "dystri" | "ablation" | "baseline";

/** `ahead`: how much more effective accuracy (0–1) Dystri has than this policy, mean over seeds. */
export type ComparedRow = CellRow & { kind: Kind; ahead: number; interval: Interval | null };

export type ComparedCell = {
  title: string;
  file: CellFile;
  /** Best first. */
  rows: ComparedRow[];
  dystri: ComparedRow;
  /** Best first; the first is chosen by the result itself, which favours the baselines. */
  baselines: ComparedRow[];
};

/**
 * One policy over several cells: means of the cells' figures, and the paired difference over all of them. `onTimeAccuracy`
 * and `jainAccuracy` are of the cells in which it answered anything on time.
 */
export type Overall = {
  policy: string;
  kind: Kind;
  cells: number;
  effectiveAccuracy: number;
  missRate: number;
  onTimeAccuracy: number;
  p99Ms: number;
  jainAccuracy: number;
  worstDecileMissRate: number;
  ahead: number;
  interval: Interval | null;
  /** Cells in which Dystri has more, and in which it has less. */
  wins: number;
  losses: number;
};

const BOOTSTRAP_SEED = 1;

export function kindOf(policy: string): Kind {
  if (policy === DYSTRI) return "dystri";
  return policy.startsWith(`${DYSTRI}-`) ? "ablation" : "baseline";
}

export function titleOf({ cell, variation }: CellFile): string {
  const { workload, users, load, deadlineMs } = cell;
  return `${variation ? `${variation}: ` : ""}${workload}, ${users} users, load ${load}, ${deadlineMs} ms`;
}

/** Null where Dystri has not run. */
export function compareCell(file: CellFile): ComparedCell | null {
  const title = titleOf(file);
  const own = bySeed(file, DYSTRI);
  if (own.size === 0) return null;
  const rows = rowsOfCell(file)
    .map((row): ComparedRow => {
      const differences = paired(own, bySeed(file, row.policy));
      const random = new Random(BOOTSTRAP_SEED, `${title} ${row.policy}`);
      const interval = row.policy === DYSTRI ? null : bootstrap(differences, random);
      return { ...row, kind: kindOf(row.policy), ahead: mean(differences), interval };
    })
    .sort((a, b) => b.effectiveAccuracy - a.effectiveAccuracy);
  const dystri = rows.find(({ kind }) => kind === "dystri");
  if (!dystri) return null;
  return { title, file, rows, dystri, baselines: rows.filter(({ kind }) => kind === "baseline") };
}

/** Policies that all of the cells have, best first. Intervals draw whole seeds, each over all cells. */
export function compareOver(cells: readonly ComparedCell[]): Overall[] {
  const names = (cells[0]?.rows ?? []).map(({ policy }) => policy);
  return names
    .flatMap((policy): Overall[] => {
      const rows = cells.flatMap((cell) => cell.rows.find((row) => row.policy === policy) ?? []);
      if (rows.length < cells.length) return [];
      const over = (of: (row: ComparedRow) => number, among = rows): number => mean(among.map(of));
      // Of nothing on time, neither accuracy nor evenness can be said.
      const answering = rows.some(({ onTime }) => onTime > 0) ? rows.filter(({ onTime }) => onTime > 0) : rows;
      const differences = paired(
        overSeeds(cells, () => DYSTRI),
        overSeeds(cells, () => policy),
      );
      return [
        {
          policy,
          kind: kindOf(policy),
          cells: rows.length,
          effectiveAccuracy: over((row) => row.effectiveAccuracy),
          missRate: over((row) => row.missRate),
          onTimeAccuracy: over((row) => row.onTimeAccuracy, answering),
          p99Ms: over((row) => row.p99Ms),
          jainAccuracy: over((row) => row.jainAccuracy, answering),
          worstDecileMissRate: over((row) => row.worstDecileMissRate),
          ahead: over((row) => row.ahead),
          interval: policy === DYSTRI ? null : bootstrap(differences, new Random(BOOTSTRAP_SEED, `over ${policy}`)),
          wins: rows.filter(({ ahead }) => ahead > 0).length,
          losses: rows.filter(({ ahead }) => ahead < 0).length,
        },
      ];
    })
    .sort((a, b) => b.effectiveAccuracy - a.effectiveAccuracy);
}

/** Dystri over several cells against the best baseline of each. Means of the cells' figures. */
export type AgainstBest = { dystri: number; missRate: number; best: number; ahead: number; interval: Interval | null };

/** Throws RangeError without a cell. */
export function againstBest(cells: readonly ComparedCell[]): AgainstBest {
  const bestOf = ({ baselines, dystri }: ComparedCell): ComparedRow => baselines[0] ?? dystri;
  const differences = paired(
    overSeeds(cells, () => DYSTRI),
    overSeeds(cells, (cell) => bestOf(cell).policy),
  );
  const names = cells.map(({ title }) => title).join();
  return {
    dystri: mean(cells.map(({ dystri }) => dystri.effectiveAccuracy)),
    missRate: mean(cells.map(({ dystri }) => dystri.missRate)),
    best: mean(cells.map((cell) => bestOf(cell).effectiveAccuracy)),
    ahead: mean(cells.map((cell) => bestOf(cell).ahead)),
    interval: bootstrap(differences, new Random(BOOTSTRAP_SEED, `best ${names}`)),
  };
}

/** Effective accuracy of each seed. */
function bySeed({ seeds }: CellFile, policy: string): Map<number, number> {
  return new Map(
    seeds.flatMap(({ seed, policies }) => {
      const figures = policies[policy];
      return figures ? [[seed, figures.right / Math.max(1, figures.offered)] as const] : [];
    }),
  );
}

/** Mean over the cells of each seed that all of them have, of the policy that `policyOf` names in each. */
function overSeeds(cells: readonly ComparedCell[], policyOf: (cell: ComparedCell) => string): Map<number, number> {
  const all = cells.map((cell) => bySeed(cell.file, policyOf(cell)));
  const common = [...(all[0]?.keys() ?? [])].filter((seed) => all.every((one) => one.has(seed)));
  return new Map(common.map((seed) => [seed, mean(all.map((one) => one.get(seed) as number))]));
}
