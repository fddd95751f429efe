/**
 * What the inputs are like: for each, the confidence bin and the truth at every rung of its ladder. Either recorded from
 * the real networks, or drawn from a model fitted to the evidence tables of app.json. Exits are never drawn apart from
 * each other: an input that is hard at one is hard at the next, and independent draws would flatter cascades.
 */
import type { Application } from "../../protocol/application.ts";
import type { ExitResult } from "../../protocol/plan.ts";
import { rightGiven, rungAt } from "../../control/ladder.ts";
import { normalQuantile, Random } from "./random.ts";

/** Row-major, rows × rungs. */
export class InputTable {
  readonly application: Application;
  readonly rows: number;
  readonly #rungs: number;
  readonly #bins: Uint8Array;
  readonly #right: Uint8Array;

  constructor(application: Application, bins: Uint8Array, right: Uint8Array) {
    this.application = application;
    this.#rungs = application.rungs.length;
    this.rows = bins.length / this.#rungs;
    if (!Number.isInteger(this.rows) || bins.length !== right.length) {
      throw new RangeError(`${application.name}: the table is not rows × ${this.#rungs} rungs`);
    }
    this.#bins = bins;
    this.#right = right;
  }

  bin(row: number, rung: number): number {
    return this.#bins[row * this.#rungs + rung] as number;
  }

  right(row: number, rung: number): boolean {
    return this.#right[row * this.#rungs + rung] === 1;
  }

  /** What an exit says of the input: its bin, and the middle of the bin for a confidence. */
  exit(row: number, rung: number): ExitResult {
    const bin = this.bin(row, rung);
    const { from, to } = rungAt(this.application, rung).evidence[bin] as { from: number; to: number };
    return { exit: rung, bin, confidence: (from + to) / 2, top: [] };
  }

  /** Share of rows right at a rung. */
  accuracy(rung: number): number {
    let sum = 0;
    for (let row = 0; row < this.rows; row++) sum += this.#right[row * this.#rungs + rung] as number;
    return sum / this.rows;
  }

  /** Mean over exits, bins (by their counts) and deeper rungs of |share right here − share right in the evidence table|. */
  distance(): number {
    let sum = 0;
    let weight = 0;
    for (let exit = 0; exit < this.#rungs; exit++) {
      const bins = rungAt(this.application, exit).evidence.length;
      for (let rung = exit; rung < this.#rungs; rung++) {
        const seen = new Array<number>(bins).fill(0);
        const right = new Array<number>(bins).fill(0);
        for (let row = 0; row < this.rows; row++) {
          const bin = this.bin(row, exit);
          seen[bin] = (seen[bin] as number) + 1;
          if (this.right(row, rung)) right[bin] = (right[bin] as number) + 1;
        }
        for (let bin = 0; bin < bins; bin++) {
          const count = seen[bin] as number;
          if (count === 0) continue;
          const share = (right[bin] as number) / count;
          sum += count * Math.abs(share - rightGiven(this.application, exit, bin, rung));
          weight += count;
        }
      }
    }
    return sum / weight;
  }
}

/** How strongly the rungs agree: of their confidences, and of their being right beyond what confidence says. 0–1. */
type Agreement = { ease: number; truth: number };

/**
 * Draws inputs by a Gaussian copula of two latents. Bin at exit e: the quantile, among the bin counts of e, of a normal
 * value that all exits share to the degree `ease`. Right at rung m: whether a second normal value, shared to the degree
 * `truth`, lies below the probability the evidence gives for m's own bin. Both degrees are the pair on a grid under
 * which the drawn inputs come closest to the evidence across exits, which is what the marginals alone leave open.
 */
export function latentInputs(application: Application, seed: number, rows = 4096): InputTable {
  const grid = [0.5, 0.6, 0.7, 0.8, 0.9, 0.97];
  let best: Agreement = { ease: 0.9, truth: 0.9 };
  let least = Number.POSITIVE_INFINITY;
  for (const ease of grid) {
    for (const truth of grid) {
      const distance = draw(application, new Random(0, `fit ${application.name}`), 1024, { ease, truth }).distance();
      if (distance < least) [best, least] = [{ ease, truth }, distance];
    }
  }
  return draw(application, new Random(seed, `difficulty ${application.name}`), rows, best);
}

function draw(application: Application, random: Random, rows: number, { ease, truth }: Agreement): InputTable {
  const rungs = application.rungs.length;
  const bounds = application.rungs.map((rung) => cumulativeNormalBounds(rung.evidence.map((row) => row.count)));
  const needed = application.rungs.map((rung, m) =>
    rung.evidence.map((_, bin) => normalOf(rightGiven(application, m, bin, m))),
  );
  const bins = new Uint8Array(rows * rungs);
  const right = new Uint8Array(rows * rungs);
  const own = { ease: Math.sqrt(1 - ease), truth: Math.sqrt(1 - truth) };
  for (let row = 0; row < rows; row++) {
    const shared = { ease: Math.sqrt(ease) * random.normal(), truth: Math.sqrt(truth) * random.normal() };
    for (let m = 0; m < rungs; m++) {
      const value = shared.ease + own.ease * random.normal();
      const bin = (bounds[m] as number[]).findIndex((bound) => value <= bound);
      bins[row * rungs + m] = bin;
      const threshold = (needed[m] as number[])[bin] as number;
      right[row * rungs + m] = shared.truth + own.truth * random.normal() < threshold ? 1 : 0;
    }
  }
  return new InputTable(application, bins, right);
}

/** Upper bounds, in a standard normal value, of bins with these counts; the last is +∞. */
function cumulativeNormalBounds(counts: readonly number[]): number[] {
  const total = counts.reduce((a, b) => a + b, 0);
  let below = 0;
  return counts.map((count, i) => {
    below += count;
    return i === counts.length - 1 ? Number.POSITIVE_INFINITY : normalOf(below / total);
  });
}

/** The standard normal value with this much below it; infinite at 0 and 1. */
function normalOf(share: number): number {
  if (share <= 0) return Number.NEGATIVE_INFINITY;
  return share >= 1 ? Number.POSITIVE_INFINITY : normalQuantile(share);
}
