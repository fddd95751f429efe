import fc from "fast-check";
import { expect, test } from "vitest";
import { fromInput, type Candidate } from "../../control/candidates.ts";
import { decisionTable, inTime, type Choice } from "../../control/decision-table.ts";
import { exitEvidence } from "../../control/exit-evidence.ts";
import { rightGiven } from "../../control/ladder.ts";
import { edgeMachine, nodeMachine } from "../../control/machine.ts";
import type { Wishes } from "../../protocol/plan.ts";
import { ladder, nodeEntry } from "../support/ladder.ts";

const application = ladder();

function choiceOf(linkMs: number, price: number, budgetMs: number, wishes: Partial<Wishes> = {}): Choice {
  const speed = { slowdown: 1, overheadMs: 1, spreadMs: 0, tail: 1 };
  const home = fromInput(application, edgeMachine(application, speed, 0, 0), application.rungs.length);
  const link = { meanMs: linkMs, deviationMs: 1, msPerKiB: 0 };
  const node = nodeMachine(nodeEntry("n1"), application, link, 0, price);
  const away = fromInput(application, node, application.rungs.length);
  const options = [...home, ...away];
  for (const [index, option] of options.entries()) option.index = index;
  return { application, wishes: { deadlinePolicy: "best_effort", ...wishes }, options, home, away, budgetMs };
}

/** What going on to a node's option is worth from an exit at a confidence, read off the evidence row by row. */
function worthOf(option: Candidate, here: Candidate, bin: number, budgetMs: number): number {
  const stay = rightGiven(application, here.rung, bin, here.rung);
  const gain = rightGiven(application, here.rung, bin, option.rung) - stay;
  return stay + inTime(here.predictedMs + option.tailMs, budgetMs) * gain - option.charge;
}

test("no option of a node that is still in time is worth more than the step taken", () => {
  const figure = (max: number) => fc.double({ min: 0, max, noNaN: true });
  fc.assert(
    fc.property(figure(40), figure(0.05), fc.double({ min: 10, max: 200, noNaN: true }), (linkMs, price, budgetMs) => {
      const choice = choiceOf(linkMs, price, budgetMs);
      const rows = decisionTable(choice, undefined);
      for (const here of choice.home) {
        rows[here.rung]?.steps.forEach((step, bin) => {
          const rivals = choice.away.filter((option) => {
            return option.rung > here.rung && here.predictedMs + option.tailMs <= budgetMs;
          });
          const best = Math.max(...rivals.map((option) => worthOf(option, here, bin, budgetMs)));
          if (step === "stop") expect(best).toBeLessThanOrEqual(rightGiven(application, here.rung, bin, here.rung));
          const taken = choice.away.find(({ index }) => index === step);
          if (taken) expect(worthOf(taken, here, bin, budgetMs)).toBe(best);
        });
      }
    }),
  );
});

test("where the wishes ask for more than an exit gives, it goes on if anything deeper is in time", () => {
  const rows = decisionTable(choiceOf(5, 1, 200, { minAccuracy: 1.1 }), undefined);
  expect(rows[0]?.steps).not.toContain("stop");
});

test("an exit that does not run at home stops", () => {
  const choice = choiceOf(5, 0, 200);
  const rows = decisionTable({ ...choice, home: [], options: choice.away }, undefined);
  expect(rows.flatMap(({ steps }) => steps).every((step) => step === "stop")).toBe(true);
});

test("the columns of an exit's evidence say what its rows say", () => {
  const { counts, total, stay, gains } = exitEvidence(application, 1);
  expect(total).toBe(counts.reduce((sum, count) => sum + count, 0));
  gains.forEach((column, rung) => {
    column.forEach((gain, bin) => expect((stay[bin] ?? 0) + gain).toBeCloseTo(rightGiven(application, 1, bin, rung)));
  });
  expect(() => exitEvidence(application, 99)).toThrow(RangeError);
});
