/** What a job must be before the executor sees it. The callers are our own Workers, so a violation is a defect there. */
import { chain } from "../../control/ladder.ts";
import type { Application } from "../../protocol/application.ts";
import { DystriError, quote } from "../../protocol/errors.ts";
import type { EdgeJob } from "../../protocol/inference.ts";
import { MAX_TOP_K } from "../../protocol/limits.ts";
import { MAX_OPTIONS } from "../../protocol/plan.ts";
import { checkInput } from "../../runtime/normalise.ts";

/** Throws DystriError bad_parameter or bad_tensor, naming the field. */
export function checkJob(application: Application, job: EdgeJob): void {
  const { plan, option: index, start, remainingMs, topK } = job;
  require(plan.options.length <= MAX_OPTIONS, "plan.options", plan.options.length, `at most ${MAX_OPTIONS} options`);
  const option = plan.options[index];
  require(option !== undefined, "option", index, `the index of one of ${plan.options.length} options`);
  require(option.at.tier === "edge", "option", index, "an option at the edge");
  const rung = application.rungs[option.rung];
  require(rung?.tiers.includes("edge") === true, "option.rung", option.rung, "a rung that runs at the edge");
  require(option.minRung >= 0 && option.minRung <= option.rung, "option.minRung", option.minRung, "0 to option.rung");
  const way = chain(application, option.rung, start.from);
  require(way !== null && way.length > 0, "start.from", start.from, `a start on the way to rung ${option.rung}`);
  require(Number.isFinite(remainingMs), "remainingMs", remainingMs, "a number of milliseconds");
  require(Number.isInteger(topK) && topK >= 1 && topK <= MAX_TOP_K, "topK", topK, `a whole number, 1 to ${MAX_TOP_K}`);
  if (start.from === "input") checkInput(application, start.input);
}

function require(holds: boolean, field: string, value: unknown, wanted: string): asserts holds {
  if (holds) return;
  throw new DystriError("bad_parameter", `${field} is ${quote(value)}; expected ${wanted}`, {
    field,
    value: quote(value),
    hint: `expected ${wanted}`,
  });
}
