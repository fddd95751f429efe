/**
 * SPINN-like (MobiCom 2020; EVALUATION §5.9; constraints and objective as published, the optimiser inferred). Offline, from
 * the validation split: for each split and each confidence threshold, accuracy and how far requests go. Online: of those
 * whose longest way fits the time left, the most accurate; then the least expected time; then the least server time. At
 * or above the threshold an exit ends the request, on the device and on the server; without the link, the device's exit
 * is the answer.
 */
import { chain, rungAt } from "../../control/ladder.ts";
import type { Application } from "../../protocol/application.ts";
import type { InputTable } from "../simulator/inputs.ts";
import type { Offered } from "../simulator/workload.ts";
import type { PolicyOf, World } from "../simulator/world.ts";
import { runOnDevice } from "./kit/device-run.ts";
import { FixedRungs } from "./kit/selectors.ts";
import { Serving, type Ask, type Route, type ServingOptions } from "./kit/serving.ts";
import { splitsOf, type Split } from "./kit/split.ts";

export type SpinnParameters = { thresholds: readonly number[]; limit: number };

export const SPINN: SpinnParameters = { thresholds: [0.5, 0.7, 0.8, 0.9, 0.95, 2], limit: 16 };

/** What a threshold leads to on the way to a rung: accuracy, and the share of inputs that go on past each stage of it. */
type Outlook = { accuracy: number; goOn: number[] };

/** Of training splits, by rung and threshold. Made offline: once for all worlds. */
const OUTLOOKS = new WeakMap<InputTable, Map<string, Outlook>>();

class Spinn extends Serving {
  readonly #parameters: SpinnParameters;
  readonly #training: ReadonlyMap<string, InputTable>;
  /** By rung and threshold. */
  readonly #outlooks = new Map<Application, Outlook[][]>();

  constructor(
    world: World,
    options: ServingOptions,
    parameters: SpinnParameters,
    training: ReadonlyMap<string, InputTable>,
  ) {
    super(world, options, new FixedRungs(parameters.limit));
    this.#parameters = parameters;
    this.#training = training;
  }

  override arrive(request: Offered): void {
    const task = this.task(request);
    const leftMs = task.dueAt - this.world.events.now;
    const { application } = request.user;
    const machines = this.machinesOf(request);
    let best: { split: Split; threshold: number; accuracy: number; meanMs: number; serverMs: number } | null = null;
    let quickest: Split | null = null;
    for (let rung = 0; rung < application.rungs.length; rung++) {
      for (const split of splitsOf(task, machines, rung, (known) => this.seenWaitMs(request, known))) {
        if (!quickest || split.upperMs < quickest.upperMs) quickest = split;
        if (split.upperMs > leftMs) continue;
        for (const [i, { accuracy, goOn }] of this.#outlooksOf(application, rung).entries()) {
          const asks = split.way.length === 0 ? 1 : (goOn[split.way.length - 1] ?? 0);
          const meanMs = asks * split.meanMs;
          const serverMs = asks * split.serverMs;
          const better =
            !best ||
            accuracy > best.accuracy ||
            (accuracy === best.accuracy &&
              (meanMs < best.meanMs || (meanMs === best.meanMs && serverMs < best.serverMs)));
          if (better) best = { split, threshold: this.#parameters.thresholds[i] ?? 2, accuracy, meanMs, serverMs };
        }
      }
    }
    const threshold = best?.threshold ?? 2;
    const split = best?.split ?? quickest;
    if (!split) return this.finishAtHome(task, "rejected");
    const enough = (exit: number): boolean => {
      const { evidence } = rungAt(application, exit);
      return (evidence[this.world.inputsOf(application).bin(request.input, exit)]?.from ?? 0) >= threshold;
    };
    const { way, from, known, rung } = split;
    const wish = known ? { known, rung, stops: enough } : {};
    if (way.length === 0) {
      this.send(task, from, wish);
      return;
    }
    this.releaseAtDeadline(task);
    const held = (): boolean => task.exits.length > 0 && enough(task.exits.at(-1)?.exit ?? 0);
    runOnDevice(
      this.world,
      task,
      way,
      () => !task.finished && !held(),
      () => {
        if (!known || held() || task.exits.length < way.length) return this.finishAtHome(task, "dropped");
        this.send(task, from, wish);
      },
    );
  }

  protected override get tellsWaits(): boolean {
    return true;
  }

  protected route({ known, rung }: Ask): Route {
    return known && rung !== undefined ? { known, rung } : null;
  }

  /** One per threshold. */
  #outlooksOf(application: Application, rung: number): Outlook[] {
    const known = this.#outlooks.get(application) ?? [];
    this.#outlooks.set(application, known);
    const table = this.#training.get(application.name);
    if (!table) throw new RangeError(`there is no training split of ${application.name}`);
    return (known[rung] ??= this.#parameters.thresholds.map((threshold) => outlookOf(table, rung, threshold)));
  }
}

function outlookOf(table: InputTable, rung: number, threshold: number): Outlook {
  const known = OUTLOOKS.get(table) ?? new Map<string, Outlook>();
  OUTLOOKS.set(table, known);
  const key = `${rung} ${threshold}`;
  let found = known.get(key);
  if (!found) known.set(key, (found = rehearsed(table, rung, threshold)));
  return found;
}

/** The split's inputs sent on their way one after the other. */
function rehearsed(table: InputTable, rung: number, threshold: number): Outlook {
  const { application } = table;
  const way = chain(application, rung, "input") ?? [];
  let right = 0;
  const goOn = way.map(() => 0);
  for (let row = 0; row < table.rows; row++) {
    const stop = way.findIndex((exit, i) => {
      const from = rungAt(application, exit).evidence[table.bin(row, exit)]?.from ?? 0;
      return i === way.length - 1 || from >= threshold;
    });
    for (let i = 0; i < stop; i++) goOn[i] = (goOn[i] as number) + 1 / table.rows;
    if (table.right(row, way[stop] as number)) right++;
  }
  return { accuracy: right / table.rows, goOn };
}

export const spinn =
  (parameters: SpinnParameters, options: ServingOptions, training: ReadonlyMap<string, InputTable>): PolicyOf =>
  (world) =>
    new Spinn(world, options, parameters, training);
