/** Plans made from plans: without what nothing leads to, or without a machine that is known not to answer. */
import type { Option, Plan } from "../protocol/plan.ts";

/**
 * Replaces every step to the machine of `options[failed]` by `options[instead]` where that is deeper than the exit the
 * step leaves from, and by `stop` elsewhere. `instead` −1 stops everywhere. Options keep their indices.
 */
export function withoutMachineOf(plan: Plan, failed: number, instead: number): Plan {
  const gone = plan.options[failed];
  if (!gone) return plan;
  const onMachine = new Set(plan.options.flatMap((option, index) => (sameMachine(option, gone) ? [index] : [])));
  const depth = plan.options[instead]?.rung ?? -1;
  const next = plan.next.map((row, exit) =>
    row.map((step) => (step === "stop" || !onMachine.has(step) ? step : depth > exit ? instead : "stop")),
  );
  return { ...plan, next };
}

/**
 * Where to go when the calls of `failed` were refused or lost with `leftMs` left: what the plan has instead, and where
 * nothing is held (−1) any option that starts from the input, deepest first; only what is deeper than the exit held, expected
 * in time, and not on a machine of `refused`. −1 where there is none.
 */
export function fallbackOf(
  { options, otherwise }: Plan,
  failed: readonly number[],
  refused: readonly Option[],
  held: number,
  leftMs: number,
): number {
  const planned = failed.map((index) => otherwise[index] ?? -1);
  const any = held >= 0 ? [] : [...options.keys()].filter((index) => options[index]?.from === "input");
  any.sort((a, b) => (options[b]?.rung ?? -1) - (options[a]?.rung ?? -1));
  const found = [...planned, ...any].find((index) => {
    const option = options[index];
    return option !== undefined && option.predictedMs <= leftMs && option.rung > held && !onMachineOf(option, refused);
  });
  return found ?? -1;
}

/** Is the option on a machine of one of these? */
export function onMachineOf(option: Option, others: readonly Option[]): boolean {
  return others.some((other) => sameMachine(other, option));
}

/** Do two options compute at the same place? All of the edge is one place. */
export function sameMachine(a: Option, b: Option): boolean {
  return a.at.tier === b.at.tier && (a.at.tier !== "node" || (b.at.tier === "node" && a.at.node === b.at.node));
}

/** What leads from option to option in a plan. */
export type Leads = Pick<Plan, "options" | "first" | "next" | "otherwise" | "hedge">;

/** The leads without the options that nothing leads to, except those `kept`. Indices are made anew. */
export function pruned(leads: Leads, kept: (option: Option) => boolean): Leads {
  const { options, otherwise, hedge } = leads;
  const used = new Array<boolean>(options.length).fill(false);
  const use = (index: number): void => {
    if (index < 0 || index >= options.length || used[index]) return;
    used[index] = true;
    use(otherwise[index] ?? -1);
    use(hedge?.[index] ?? -1);
  };
  use(leads.first);
  for (const row of leads.next) for (const step of row) if (step !== "stop") use(step);
  options.forEach((option, index) => {
    if (kept(option)) use(index);
  });
  const remaining: number[] = [];
  const at = used.map((is, index) => (is ? remaining.push(index) - 1 : -1));
  if (remaining.length === options.length) return leads;
  const moved = (index: number): number => at[index] ?? -1;
  return {
    options: remaining.map((index) => options[index] as Option),
    first: moved(leads.first),
    next: leads.next.map((row) => row.map((step) => (step === "stop" ? step : moved(step)))),
    otherwise: remaining.map((index) => moved(otherwise[index] ?? -1)),
    ...(hedge ? { hedge: remaining.map((index) => moved(hedge[index] ?? -1)) } : {}),
  };
}
