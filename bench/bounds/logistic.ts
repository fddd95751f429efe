/** Logistic regression on indicators: each sample switches on a few of many features. */

/** A sample: the numbers of the features that are on, none twice, and whether the answer was yes. */
export type Sample = { on: readonly number[]; yes: boolean };

export type Logistic = { intercept: number; weights: Float64Array };

/** Steps of Newton's method at most; it needs about six. */
const MOST_STEPS = 50;
/** Steps end when none of the weights moves by more. */
const SETTLED = 1e-8;

export function probability({ intercept, weights }: Logistic, on: readonly number[]): number {
  let logOdds = intercept;
  for (const feature of on) logOdds += weights[feature] ?? 0;
  return 1 / (1 + Math.exp(-logOdds));
}

/**
 * The weights that maximise log-likelihood − penalty/2 · Σ weights² (the intercept is free), by Newton's method with
 * halved steps where a whole one would overshoot. Throws RangeError without samples, or when the penalty is not positive.
 */
export function fitLogistic(samples: readonly Sample[], features: number, penalty: number): Logistic {
  if (samples.length === 0 || !(penalty > 0)) throw new RangeError(`${samples.length} samples, penalty ${penalty}`);
  const yes = samples.filter((sample) => sample.yes).length;
  // Half a sample of each kind keeps the start finite; where all samples agree, the answer stays there.
  let model: Logistic = {
    intercept: Math.log((yes + 0.5) / (samples.length - yes + 0.5)),
    weights: new Float64Array(features),
  };
  if (yes === 0 || yes === samples.length) return model;
  let reached = objective(model, samples, penalty);
  for (let step = 0; step < MOST_STEPS; step++) {
    const move = newtonStep(model, samples, penalty);
    let share = 1;
    let next = moved(model, move, share);
    let worth = objective(next, samples, penalty);
    while (worth < reached && share > 1e-6) {
      share /= 2;
      next = moved(model, move, share);
      worth = objective(next, samples, penalty);
    }
    if (worth < reached) return model;
    [model, reached] = [next, worth];
    if (move.every((by) => Math.abs(by) < SETTLED)) return model;
  }
  return model;
}

/** Mean −log of the probability given to what happened. */
export function logLoss(model: Logistic, samples: readonly Sample[]): number {
  const sum = samples.reduce((total, { on, yes }) => {
    const p = probability(model, on);
    return total - Math.log(Math.max(1e-12, yes ? p : 1 - p));
  }, 0);
  return sum / samples.length;
}

function objective(model: Logistic, samples: readonly Sample[], penalty: number): number {
  const size = model.weights.reduce((sum, weight) => sum + weight * weight, 0);
  return -samples.length * logLoss(model, samples) - (penalty / 2) * size;
}

/** The last entry of a move is the intercept's. */
function moved({ intercept, weights }: Logistic, move: Float64Array, share: number): Logistic {
  return {
    intercept: intercept + share * (move[weights.length] as number),
    weights: weights.map((weight, i) => weight + share * (move[i] as number)),
  };
}

function newtonStep(model: Logistic, samples: readonly Sample[], penalty: number): Float64Array {
  const features = model.weights.length;
  const size = features + 1;
  const gradient = new Float64Array(size);
  const curvature = new Float64Array(size * size);
  for (let i = 0; i < features; i++) {
    gradient[i] = -penalty * (model.weights[i] as number);
    curvature[i * size + i] = penalty;
  }
  // All but separated samples have no curvature left in the intercept; a trace of it keeps the system solvable.
  curvature[size * size - 1] = 1e-9;
  for (const { on, yes } of samples) {
    const p = probability(model, on);
    const slope = yes ? 1 - p : -p;
    const bend = p * (1 - p);
    for (let a = 0; a <= on.length; a++) {
      const i = on[a] ?? features;
      gradient[i] = (gradient[i] as number) + slope;
      for (let b = 0; b <= on.length; b++) {
        const at = i * size + (on[b] ?? features);
        curvature[at] = (curvature[at] as number) + bend;
      }
    }
  }
  return solvePositive(curvature, gradient);
}

/** x of A·x = b for a symmetric positive definite A (row-major), by Cholesky's decomposition. */
function solvePositive(a: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  const lower = Float64Array.from(a);
  const at = (i: number, j: number): number => lower[i * n + j] as number;
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = at(i, j);
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k);
      lower[i * n + j] = i === j ? Math.sqrt(sum) : sum / at(j, j);
    }
  }
  const x = Float64Array.from(b);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i] = (x[i] as number) - at(i, k) * (x[k] as number);
    x[i] = (x[i] as number) / at(i, i);
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i] = (x[i] as number) - at(k, i) * (x[k] as number);
    x[i] = (x[i] as number) / at(i, i);
  }
  return x;
}
