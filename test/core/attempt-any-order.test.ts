/** An attempt under any order of events, and books that it must agree with. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { AttemptAction, AttemptMachine } from "../../control/attempt.ts";
import { DystriError } from "../../protocol/errors.ts";
import type { Plan } from "../../protocol/plan.ts";
import { answered, begun, code, exit, lost, ran, refused } from "./attempt-fixture.ts";

/** What may happen to a running call, or to the request. */
const happening = fc.record({
  what: fc.constantFrom(
    "stop",
    "escalate",
    "stray",
    "refuse",
    "late",
    "lose",
    "throw",
    "answer",
    "time",
    "gone",
    "again",
    "ghost" as const,
  ),
  /** Which of the running calls. */
  which: fc.nat(3),
  rung: fc.nat(3),
  bin: fc.nat(2),
  option: fc.integer({ min: -1, max: 5 }),
  afterMs: fc.integer({ min: 0, max: 30 }),
});
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;
type Asked = Extract<AttemptAction, { do: "edge" | "node" }>;

/** Drives an attempt by what happens, and keeps the books that the attempt must agree with. */
class Driver {
  readonly machine: AttemptMachine;
  finishes = 0;
  opened = 0;
  deepest = -1;
  goneFirst = false;
  resorted = false;
  /** Instant of the wake that has been asked for. */
  #wakeAt: number | null = null;
  #now = 2;
  readonly #running = new Map<number, Asked>();
  /** Calls of nodes that were cancelled: they may answer all the same. */
  readonly #ghosts: number[] = [];
  /** Machines that refused, were lost or were given up. */
  readonly failed = new Set<string>();
  #triesWithExit = 0;
  #last: (() => AttemptAction[]) | null = null;

  constructor(over: Partial<Plan>) {
    const { machine, actions } = begun(over);
    this.machine = machine;
    this.#follow(actions);
  }

  get now(): number {
    return this.#now;
  }

  /** `event.afterMs` pass, and then it happens. */
  run(event: Happening): void {
    this.#now += event.afterMs;
    const { machine } = this;
    if (event.what === "time") this.#timeUp();
    else if (event.what === "gone") {
      this.goneFirst ||= !machine.finished;
      this.#follow(machine.cancelled());
    } else if (event.what === "again") expect(this.#last?.() ?? []).toEqual([]);
    else if (event.what === "ghost") {
      for (const call of this.#ghosts) expect(machine.nodeEnded(call, answered(event.rung), this.#now)).toEqual([]);
    } else {
      const open = [...this.#running.values()];
      const target = open[event.which % Math.max(1, open.length)];
      if (target?.do === "edge") this.#endEdge(target, event);
      if (target?.do === "node") this.#endNode(target, event);
    }
  }

  /** Nothing more comes: time ends it, by the margin and half of it, at the third wake at the latest. */
  fallSilent(): void {
    const from = Math.max(this.#now, 90);
    for (let wakes = 0; !this.machine.finished; wakes++) {
      expect(wakes).toBeLessThan(3);
      this.#now = Math.max(this.#now, this.#wakeAt ?? Number.POSITIVE_INFINITY);
      this.#timeUp();
    }
    expect(this.#now).toBeLessThanOrEqual(from + 5);
    expect(this.machine.timeUp(this.#now)).toEqual([]);
  }

  #timeUp(): void {
    const nothingHeld = this.deepest < 0;
    const { opened } = this;
    this.#wakeAt = null;
    this.#follow(this.machine.timeUp(this.#now));
    if (this.opened > opened) {
      // Only to have an answer at all is anything begun because time has passed.
      expect(nothingHeld).toBe(true);
      this.resorted = true;
    }
  }

  #endEdge(target: Extract<Asked, { do: "edge" }>, { what, rung, bin, option }: Happening): void {
    this.#running.delete(target.call);
    const { machine } = this;
    if (what === "throw") {
      return this.#failure("edge", () => machine.edgeFailed(target.call, new DystriError("internal", "x"), this.#now));
    }
    if (what === "refuse") {
      return this.#failure("edge", () => machine.edgeEnded(target.call, ran({ ended: "refused" }), this.#now));
    }
    const found = exit(rung % 3, bin);
    // As the edge does: its table says where to go on, and what is its own it runs itself.
    const planned = target.plan.next[found.exit]?.[bin];
    const next = what === "stray" ? option : typeof planned === "number" ? planned : -1;
    const goal = target.plan.options[next];
    const escalates = what === "stray" || (what === "escalate" && goal?.at.tier === "node");
    const stops = what === "stop" || what === "escalate";
    const ended = escalates ? "escalate" : stops ? "stop" : what === "late" ? "late" : "cancelled";
    // Only an edge that strays from its table may lead to who has failed.
    if (what === "stray" && goal) this.failed.delete(goal.at.tier === "node" ? goal.at.node : "edge");
    if (!machine.finished) this.deepest = Math.max(this.deepest, found.exit);
    this.#end(() => machine.edgeEnded(target.call, ran({ exits: [found], ended, option: next }), this.#now));
  }

  #endNode({ call, node: name }: Extract<Asked, { do: "node" }>, { what, rung }: Happening): void {
    this.#running.delete(call);
    const { machine } = this;
    if (what === "answer") {
      if (!machine.finished) this.deepest = Math.max(this.deepest, rung);
      this.#end(() => machine.nodeEnded(call, answered(rung), this.#now));
    } else if (what === "throw") this.#failure(name, () => machine.nodeLost(call, this.#now));
    else this.#failure(name, () => machine.nodeEnded(call, what === "refuse" ? refused : lost, this.#now));
  }

  #failure(name: string, act: () => AttemptAction[]): void {
    this.failed.add(name);
    const { opened } = this;
    const withExit = this.deepest >= 0;
    this.#end(act);
    if (withExit && this.opened > opened) this.#triesWithExit++;
    expect(this.#triesWithExit).toBeLessThanOrEqual(1);
  }

  #end(act: () => AttemptAction[]): void {
    this.#last = act;
    this.#follow(act());
  }

  #follow(actions: readonly AttemptAction[]): void {
    if (this.finishes > 0) expect(actions).toEqual([]);
    for (const action of actions) {
      switch (action.do) {
        case "edge":
        case "node": {
          this.opened++;
          expect(action.remainingMs).toBeGreaterThan(0);
          expect([...this.failed]).not.toContain(action.do === "node" ? action.node : "edge");
          this.#running.set(action.call, action);
          break;
        }
        case "cancel": {
          const call = this.#running.get(action.call);
          if (call?.do !== "node") break;
          this.#running.delete(action.call);
          this.#ghosts.push(action.call);
          if (!this.machine.finished) this.failed.add(call.node);
          break;
        }
        case "wake":
          expect(action.afterMs).toBeLessThanOrEqual(Math.max(5, 90 - this.#now));
          this.#wakeAt = this.#now + action.afterMs;
          break;
        case "finished":
          this.finishes++;
          break;
      }
    }
    expect(this.machine.finished || this.#wakeAt !== null).toBe(true);
  }
}

test("under any order of events a request finishes exactly once, and never in an error once an exit is held", () => {
  const anyOption = fc.integer({ min: -1, max: 4 });
  const anyOptions = fc.array(anyOption, { minLength: 5, maxLength: 5 });
  let resorts = 0;
  let exhausted = 0;
  fc.assert(
    fc.property(
      fc.array(happening, { maxLength: 40 }),
      anyOption,
      anyOptions,
      fc.option(anyOptions, { nil: undefined }),
      (events, first, otherwise, hedge) => {
        const driver = new Driver({ first, otherwise, ...(hedge ? { hedge } : {}) });
        for (const event of events) driver.run(event);
        driver.fallSilent();
        const { machine, deepest, now } = driver;
        expect(driver.finishes).toBe(1);
        if (driver.goneFirst) expect(code(machine, now)).toBe("client_gone");
        else if (deepest >= 0) expect(machine.answer(now).answer.exit).toBe(deepest);
        else expect(() => machine.answer(now)).toThrow(DystriError);
        expect(machine.report(undefined).legs).toHaveLength(driver.opened);
        if (driver.resorted) resorts++;
        if (driver.failed.size === 3) exhausted++;
      },
    ),
    { numRuns: 2000 },
  );
  expect(resorts).toBeGreaterThan(40);
  expect(exhausted).toBeGreaterThan(40);
});
