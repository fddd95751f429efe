/**
 * What could have been done, as plain data: the problem an upper bound is of. It knows nothing of the simulator; whoever
 * builds one lists for each request every way it could have been served, with true work and true times.
 *
 * A bound is one only if nothing a policy can do is missing from the list: every rung on every tier, and every edge
 * prefix with every node suffix. Where work is done in batches, use the time per item of the best batch.
 */

/** Something with limited time. Times are milliseconds, everywhere in this folder. */
export type Resource = {
  name: string;
  /** Milliseconds of work done per millisecond, all lanes together. */
  speed: number;
  /** How many pieces of work run at a time; one piece gets at most `speed / lanes`. */
  lanes: number;
};

/** Work that one request needs of one resource, to be done inside a window. */
export type Use = { resource: number; releaseAt: number; dueAt: number; workMs: number };

/**
 * One way to serve one request: all of `uses` happen, each inside its window. `value` is what it is worth then. `way` is
 * the builder's own number of it, and stays with it whatever becomes of the problem.
 */
export type BoundOption = { value: number; uses: readonly Use[]; way?: number };

export type BoundProblem = {
  resources: readonly Resource[];
  /** At most one option of each request is taken; none is worth nothing. */
  requests: readonly { options: readonly BoundOption[] }[];
};

/** Work this close to its window counts as fitting: of two roundings of one time, the bound takes the kinder. */
const ROUNDING_MS = 1e-6;

/** Throws RangeError, saying where, when a number makes no sense. */
export function checkProblem({ resources, requests }: BoundProblem): void {
  for (const { name, speed, lanes } of resources) {
    if (!(speed > 0 && speed < Infinity) || !Number.isInteger(lanes) || lanes < 1) {
      throw new RangeError(`resource ${name}: speed ${speed} with ${lanes} lanes`);
    }
  }
  for (const [id, { options }] of requests.entries()) {
    for (const { value, uses } of options) {
      if (!Number.isFinite(value)) throw new RangeError(`request ${id}: an option of value ${value}`);
      for (const use of uses) {
        const { resource, releaseAt, dueAt, workMs } = use;
        if (!resources[resource] || ![releaseAt, dueAt, workMs].every(Number.isFinite) || workMs < 0) {
          throw new RangeError(`request ${id}: a use that makes no sense: ${JSON.stringify(use)}`);
        }
      }
    }
  }
}

/** What the use takes when it has a lane of its resource for itself. */
export function aloneMs({ speed, lanes }: Resource, workMs: number): number {
  return (workMs * lanes) / speed;
}

/**
 * The same without options that are worth nothing or could not be done in an otherwise empty world. Uses of no work go;
 * windows that are short by a rounding are made whole.
 */
export function feasible(problem: BoundProblem): BoundProblem {
  const alone = ({ resource, workMs }: Use): number => aloneMs(problem.resources[resource] as Resource, workMs);
  const fits = (use: Use): boolean => use.dueAt - use.releaseAt + ROUNDING_MS >= alone(use);
  return withOptions(problem, (options) =>
    options
      .filter(({ value, uses }) => value > 0 && uses.every(fits))
      .map(({ uses, ...option }) => ({
        ...option,
        uses: uses
          .filter(({ workMs }) => workMs > ROUNDING_MS)
          .map((use) => ({ ...use, dueAt: Math.max(use.dueAt, use.releaseAt + alone(use)) })),
      })),
  );
}

/** The same with other options; a request keeps its place even when none is left. */
export function withOptions(
  problem: BoundProblem,
  change: (options: readonly BoundOption[], request: number) => readonly BoundOption[],
): BoundProblem {
  return { ...problem, requests: problem.requests.map(({ options }, id) => ({ options: change(options, id) })) };
}

/** The same with other values, for instance the expectations of information.ts. */
export function revalued(problem: BoundProblem, value: (request: number, option: number) => number): BoundProblem {
  return withOptions(problem, (options, request) =>
    options.map((option, i) => ({ ...option, value: value(request, i) })),
  );
}

/**
 * The same with every window widened to whole cells of `cellMs`. A schedule that keeps the narrow windows keeps the wide
 * ones, so the optimum can only rise; in return many windows become equal, which is what keeps large problems small.
 */
export function snapped(problem: BoundProblem, cellMs: number): BoundProblem {
  const widened = (use: Use): Use => ({
    ...use,
    releaseAt: Math.floor(use.releaseAt / cellMs) * cellMs,
    dueAt: Math.ceil(use.dueAt / cellMs) * cellMs,
  });
  return withOptions(problem, (options) =>
    options.map(({ uses, ...option }) => ({ ...option, uses: uses.map(widened) })),
  );
}

/** A step on the way of a request: `delayMs` that no resource limits (a round trip, say), then work. */
export type Step = { resource: number; delayMs: number; workMs: number };

/**
 * The option that takes the steps one after the other and has `afterMs` left for the way back. Each step's window is
 * what the others leave when they have their lanes for themselves; which of them had to wait is not remembered, so the
 * windows of one option may overlap, which is again to the bound's favour.
 */
export function chained(
  resources: readonly Resource[],
  { arrivalAt, dueAt, value }: { arrivalAt: number; dueAt: number; value: number },
  steps: readonly Step[],
  afterMs: number,
): BoundOption {
  const alone = steps.map(({ resource, workMs }) => aloneMs(resources[resource] as Resource, workMs));
  const uses = steps.map(({ resource, workMs, delayMs }): Use => ({
    resource,
    workMs,
    releaseAt: arrivalAt + delayMs,
    dueAt: dueAt - afterMs,
  }));
  let before = 0;
  let behind = 0;
  for (const [i, step] of steps.entries()) {
    (uses[i] as Use).releaseAt += before;
    before += step.delayMs + (alone[i] as number);
  }
  for (let i = steps.length - 1; i >= 0; i--) {
    (uses[i] as Use).dueAt -= behind;
    behind += (steps[i] as Step).delayMs + (alone[i] as number);
  }
  return { value, uses };
}
