/** A plan in words and figures, for people: the one-sentence reason of a reply, and what was weighed on request. */
import type { Application } from "../protocol/application.ts";
import type { Option, Plan, Weighed } from "../protocol/plan.ts";
import type { Candidate } from "./candidates.ts";
import { rungAt } from "./ladder.ts";

/** One sentence: where the plan starts and what it goes on to when unsure. */
export function describe(
  application: Application,
  options: readonly Option[],
  first: number,
  next: Plan["next"],
): string {
  const name = (option: Option) =>
    `${rungAt(application, option.rung).name} on ${option.at.tier === "node" ? option.at.node : `the ${option.at.tier}`}`;
  const begin = options[first];
  if (!begin) return "the evidence that came with the request suffices";
  const start = `start with ${name(begin)}`;
  if (begin.at.tier === "node") return start;
  const goals: Option[] = [];
  for (const step of next[begin.rung] ?? []) {
    const goal = step === "stop" ? undefined : options[step];
    if (goal && !goals.includes(goal)) goals.push(goal);
  }
  return goals.length === 0 ? start : `${start}; if unsure, ${goals.map(name).join(" or ")}`;
}

/** Every candidate with its figures and what became of it. */
export function weighed(
  application: Application,
  candidates: readonly Candidate[],
  budgetMs: number,
  plan: Plan,
): Weighed[] {
  const targets = new Set(plan.next.flat().filter((step) => step !== "stop"));
  return candidates.map((candidate): Weighed => {
    const at = plan.options.findIndex((option) => sameOption(option, candidate));
    const verdict =
      at >= 0 && at === plan.first
        ? "first"
        : targets.has(at)
          ? "planned"
          : at >= 0 && plan.otherwise.includes(at)
            ? "fallback"
            : candidate.tailMs > budgetMs
              ? "too slow"
              : "worth less";
    const { at: place, rung, from, predictedMs, tailMs, price, cost } = candidate;
    const accuracy = rungAt(application, rung).quality.validation;
    return { at: place, rung, from, predictedMs, tailMs, accuracy, price, cost, verdict };
  });
}

function sameOption(a: Option, b: Option): boolean {
  return (
    a.rung === b.rung &&
    a.from === b.from &&
    a.at.tier === b.at.tier &&
    (a.at.tier !== "node" || (b.at.tier === "node" && a.at.node === b.at.node))
  );
}
