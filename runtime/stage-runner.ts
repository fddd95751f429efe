/** Runs the stages of one application, one at a time, for one request or for several at once. The same code on every tier. */
import { rungAt, type From } from "../control/ladder.ts";
import type { Application } from "../protocol/application.ts";
import { DystriError } from "../protocol/errors.ts";
import type { ExitResult } from "../protocol/plan.ts";
import type { PackedTensor, Start } from "../protocol/tensor.ts";
import { exitResult } from "./answers.ts";
import { elements } from "./application.ts";
import { checkInput, leading, normalise } from "./normalise.ts";
import { samples, stacked, type RuntimeTensor, type Session } from "./session.ts";
import { pack, unpack } from "./tensor-packing.ts";

/** What has been computed for one request: the tensor at each point that a later stage may read. Plain data. */
export type StageState = { readonly held: Map<From, RuntimeTensor> };

export class StageRunner {
  readonly application: Application;
  readonly #sessions: readonly (Session | null)[];

  /** One session per rung; null where this machine has not loaded the stage. */
  constructor(application: Application, sessions: readonly (Session | null)[]) {
    if (sessions.length !== application.rungs.length) {
      throw new RangeError(
        `${application.name} has ${application.rungs.length} rungs, not ${sessions.length} sessions`,
      );
    }
    this.application = application;
    this.#sessions = sessions;
  }

  /** Checks and prepares what a request starts from. Throws DystriError bad_tensor when it does not fit the ladder. */
  async begin(start: Start): Promise<StageState> {
    if (start.from === "input") {
      checkInput(this.application, start.input);
      return { held: new Map([["input", normalise(this.application, start.input)]]) };
    }
    const wanted = this.application.rungs[start.from]?.cut?.shape;
    if (!wanted) {
      throw new DystriError("bad_tensor", `${this.application.name} has no cut after rung ${start.from}`, {
        field: "from",
        value: String(start.from),
      });
    }
    const { shape } = start.cut;
    if (shape.length !== wanted.length || shape.some((size, i) => size !== wanted[i])) {
      throw new DystriError("bad_tensor", `the cut after rung ${start.from} has the shape [${wanted.join(", ")}]`, {
        field: "cut.shape",
        value: JSON.stringify(shape),
      });
    }
    const data = await unpack(start.cut);
    return { held: new Map([[start.from, { type: "float32", data, dims: [1, ...shape] }]]) };
  }

  /** True when `rung` is loaded here and what it reads is held. */
  canRun(state: StageState, rung: number): boolean {
    return this.#sessions[rung] != null && state.held.has(rungAt(this.application, rung).resumesFrom);
  }

  /**
   * Runs the stage of `rung` alone and returns that exit's answer; its cut tensor, if the rung has one, is held from
   * then on. Rejects with the runtime's error. Throws RangeError when `canRun` is false: the caller's mistake.
   */
  async run(state: StageState, rung: number, topK: number): Promise<ExitResult> {
    const [result] = await this.runTogether([{ state, topK }], rung);
    return result as ExitResult;
  }

  /** As `run`, for several requests in one run of the graph; results in their order. It succeeds or fails as a whole. */
  async runTogether(requests: readonly { state: StageState; topK: number }[], rung: number): Promise<ExitResult[]> {
    const spec = rungAt(this.application, rung);
    const session = this.#sessions[rung];
    if (!session) throw new RangeError(`${this.application.name}: the stage of rung ${rung} is not loaded here`);
    const inputs = requests.map(({ state }) => {
      const x = state.held.get(spec.resumesFrom);
      if (!x) {
        throw new RangeError(`${this.application.name}: rung ${rung} reads ${spec.resumesFrom}, which is not held`);
      }
      return spec.resumesFrom === "input" ? leading(x, spec.take) : x;
    });
    const { logits, feat } = await session.run(stacked(inputs));
    const count = requests.length;
    if (logits?.type !== "float32" || logits.data.length !== count * this.application.labels.length) {
      throw new Error(`${spec.stage} did not answer with one logit per label`);
    }
    if (spec.cut) {
      if (feat?.type !== "float32" || feat.data.length !== count * elements(spec.cut.shape)) {
        throw new Error(`${spec.stage} did not leave the cut tensor that its rung announces`);
      }
      const cuts = samples(feat, count);
      requests.forEach(({ state }, i) => state.held.set(rung, cuts[i] as RuntimeTensor));
    }
    return samples(logits, count).map(({ data }, i) =>
      exitResult(spec, rung, data as Float32Array, (requests[i] as { topK: number }).topK),
    );
  }

  /** Packs the cut left by `rung` for another machine. Throws RangeError when it is not held. */
  async cut(state: StageState, rung: number, code: PackedTensor["code"]): Promise<PackedTensor> {
    const held = state.held.get(rung);
    const shape = rungAt(this.application, rung).cut?.shape;
    if (held?.type !== "float32" || !shape) throw new RangeError(`the cut after rung ${rung} is not held`);
    return pack(held.data, shape, code);
  }
}
